package logging_test

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/wechatbot/wechatbot-operator/cmd/logging"
)

func logger(t *testing.T, args ...string) (*zap.Logger, error) {
	t.Helper()
	var f logging.Flags
	s := pflag.NewFlagSet("test", pflag.ContinueOnError)
	f.Define(s)
	if err := s.Parse(args); err != nil {
		t.Fatal(err)
	}
	return f.Logger(true)
}

func TestLevels(t *testing.T) {
	for level, want := range map[string]zapcore.Level{"debug": zap.DebugLevel, "info": zap.InfoLevel, "warn": zap.WarnLevel, "error": zap.ErrorLevel} {
		for _, format := range []string{"json", "console"} {
			l, err := logger(t, "--log-level", level, "--log-format", format)
			if err != nil || l.Level() != want {
				t.Errorf("--log-level %s --log-format %s: level %v, %v", level, format, l.Level(), err)
			}
		}
	}
}

func TestWrongFlagsAreNamed(t *testing.T) {
	for arg, want := range map[string]string{"--log-level=loud": "--log-level", "--log-format=xml": `--log-format: "xml"`} {
		if _, err := logger(t, arg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", arg, err)
		}
	}
}
