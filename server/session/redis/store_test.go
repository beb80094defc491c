package redis

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests mostly wait: for leases to run out, for sentinels to notice. They do so side by side.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	// go-redis looks for a Redis that is away once a second, and notices its own end only then.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}
