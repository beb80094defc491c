package prompt

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestExplainLeavesOtherErrorsAlone(t *testing.T) {
	if err := explain(context.Canceled, Options{}); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "\n") {
		t.Errorf("explain = %v", err)
	}
}
