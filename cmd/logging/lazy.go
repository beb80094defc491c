package logging

import (
	"slices"

	"go.uber.org/zap/zapcore"
)

// lazy keeps the fields of a logger as they are until there is a line to write. The operator makes two loggers whenever it looks
// at a bot, and most of them write nothing.
type lazy struct {
	zapcore.Core

	fields []zapcore.Field
}

// With is a zapcore.Core's.
func (l lazy) With(fields []zapcore.Field) zapcore.Core {
	return lazy{l.Core, slices.Concat(l.fields, fields)}
}

// Check is a zapcore.Core's.
func (l lazy) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !l.Enabled(entry.Level) {
		return checked
	}
	return l.Core.With(l.fields).Check(entry, checked)
}
