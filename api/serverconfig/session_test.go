package serverconfig

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The operator's Role and the server's store agree on these names; sessions are found again by them.
func TestObjectsAreFixed(t *testing.T) {
	want := []string{"winter-0", "winter-1", "winter-2", "winter-3", "winter-4", "winter-5", "winter-6", "winter-7"}
	if d := cmp.Diff(want, (&ConfigMap{Namespace: "bots", Name: "winter"}).Objects()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
