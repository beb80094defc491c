package dify

import "context"

type tracedKey struct{}

// Traced returns a context whose requests carry a traceparent (W3C Trace Context) to Dify; "" is none.
func Traced(ctx context.Context, traceparent string) context.Context {
	if traceparent == "" {
		return ctx
	}
	return context.WithValue(ctx, tracedKey{}, traceparent)
}

func traceparent(ctx context.Context) string {
	t, _ := ctx.Value(tracedKey{}).(string)
	return t
}
