//go:build chaos

package chaos

import (
	"fmt"
	"testing"
	"time"
)

// Every accepted question is answered, once, while the processes, Redis, the way to Redis and Dify fail.
func TestRedis(t *testing.T) {
	const replicas, followers = 3, 36
	w := newWorld(t, "3 replicas, Redis")
	binary := build(t)
	r := startRedis(t, w.logs)
	w.store = store{kill: r.kill, start: r.start, hang: r.hang, wake: r.wake}
	for i := range replicas {
		p := startProxy(t, r.address())
		w.proxies = append(w.proxies, p)
		config := w.configure(t, i, fmt.Sprintf("{type: Redis, redis: {addresses: [%q]}}", p.address()), map[string]string{"redis-password": redisPassword})
		w.replicas = append(w.replicas, startReplica(t, i, w.logs, nil, binary, "--config", config))
	}
	w.open(t, followers)
	w.run(t, redisSchedule(stream(w.seed, scheduleStream), replicas), 5*time.Second)
	v := w.judge(t)
	t.Log(w.table(v))
	v.check(t)
}

func TestMemory(t *testing.T) {
	w := newWorld(t, "1 replica, Memory")
	binary := build(t)
	config := w.configure(t, 0, "{type: Memory}", nil)
	w.replicas = append(w.replicas, startReplica(t, 0, w.logs, nil, binary, "--config", config))
	w.open(t, 36)
	w.run(t, []fault{{at: 30 * time.Second}}, time.Second)
	v := w.judge(t)
	t.Log(w.table(v))
	v.check(t)
}
