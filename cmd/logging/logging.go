// Package logging is the log that the operator and the webhook server write: lines for machines or for people, as their
// flags --log-level and --log-format say. It knows nothing of what is logged.
package logging

import (
	"fmt"

	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Flags are --log-level and --log-format.
type Flags struct{ level, format string }

// Define adds the flags to a command's.
func (f *Flags) Define(s *pflag.FlagSet) {
	s.StringVar(&f.level, "log-level", "info", "debug, info, warn or error")
	s.StringVar(&f.format, "log-format", "json", "json or console")
}

// Logger makes the log, on stderr. Of lines that are the same it writes a hundred a second and then every hundredth, if
// sampled. An error names the flag that is wrong.
func (f *Flags) Logger(sampled bool) (*zap.Logger, error) {
	at, err := zap.ParseAtomicLevel(f.level)
	if err != nil {
		return nil, fmt.Errorf("--log-level: %w", err)
	}
	c := zap.NewProductionConfig()
	c.Level, c.DisableStacktrace, c.DisableCaller = at, true, true
	if !sampled {
		c.Sampling = nil
	}
	c.EncoderConfig.TimeKey, c.EncoderConfig.EncodeTime = "time", zapcore.RFC3339NanoTimeEncoder
	c.EncoderConfig.EncodeDuration = zapcore.StringDurationEncoder
	switch f.format {
	case "json":
	case "console":
		c.Encoding = "console"
		c.EncoderConfig.EncodeLevel = zapcore.CapitalLevelEncoder
	default:
		return nil, fmt.Errorf("--log-format: %q is neither json nor console", f.format)
	}
	logger, err := c.Build(zap.WrapCore(func(core zapcore.Core) zapcore.Core { return lazy{Core: core} }))
	if err != nil {
		return nil, fmt.Errorf("making the log: %w", err)
	}
	return logger, nil
}
