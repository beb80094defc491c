package logging

import (
	"bytes"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Lines are the same as those of a core that is not lazy.
func TestLazy_SameLines(t *testing.T) {
	write := func(wrap func(zapcore.Core) zapcore.Core) string {
		var lines bytes.Buffer
		core := zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "msg", LevelKey: "level"}), zapcore.AddSync(&lines), zap.InfoLevel)
		all := zap.New(wrap(core))
		bot := all.With(zap.String("bot", "winter"))
		pass, other := bot.With(zap.Int("pass", 1), zap.Namespace("of")), bot.With(zap.Int("pass", 2))
		all.Info("no fields")
		pass.Info("two", zap.Bool("own", true))
		other.Error("others")
		bot.Debug("not written")
		bot.Info("one")
		return lines.String()
	}
	is := write(func(c zapcore.Core) zapcore.Core { return lazy{Core: c} })
	if want := write(func(c zapcore.Core) zapcore.Core { return c }); is != want || want == "" {
		t.Errorf("lines\n%swant\n%s", is, want)
	}
}
