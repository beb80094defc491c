//go:build chaos

package chaos

import (
	"fmt"
	"testing"
	"time"
)

// calm is for how long questions are asked after the last act.
const calm = 5 * time.Second

// Every accepted question is answered, once, while the processes, Redis, the way to Redis and Dify fail.
func TestRedis(t *testing.T) {
	const followers = 36
	s := seed(t)
	app, _ := apps(s)
	w := newWorld(t, "3 replicas, Redis", s, app)
	binary := build(t)
	r := startRedis(t, w.logs)
	w.store = store{kill: r.kill, start: r.start, hang: r.hang, wake: r.wake}
	for i := range replicas {
		p := startProxy(t, r.address())
		w.proxies = append(w.proxies, p)
		config := w.configure(t, i, redisSession(p.address()), map[string]string{"redis-password": redisPassword})
		w.replicas = append(w.replicas, startReplica(t, i, w.logs, nil, binary, "--config", config))
	}
	w.open(t, followers)
	w.run(t, redisSchedule(scheduleRand(w.seed)), calm)
	v := w.judge(t)
	t.Log(w.table(v))
	v.check(t)
}

func redisSession(address string) string {
	return fmt.Sprintf("{type: Redis, redis: {addresses: [%q]}}", address)
}

// The same of replicas that push answers: nothing is lost, and nothing comes twice that nobody has asked for, though processes die while
// they send, and WeChat's answers to sends are lost.
func TestPush(t *testing.T) {
	asked := number(t, "CHAOS_QUESTIONS", 2000)
	s := seed(t)
	app, _ := apps(s)
	w := newWorld(t, "3 replicas, Redis, answers pushed", s, app)
	w.pushes(t)
	binary := build(t)
	r := startRedis(t, w.logs)
	w.store = store{kill: r.kill, start: r.start}
	for i := range replicas {
		p := startProxy(t, r.address())
		w.proxies = append(w.proxies, p)
		config := w.configure(t, i, redisSession(p.address()), map[string]string{"redis-password": redisPassword})
		w.replicas = append(w.replicas, startReplica(t, i, w.logs, nil, binary, "--config", config))
	}
	const each = 12 // questions that a follower comes to at least
	w.open(t, int(asked+each-1)/each)
	w.run(t, pushSchedule(scheduleRand(w.seed)), calm)
	v := w.judge(t)
	t.Log(w.table(v))
	v.check(t)
	if v.Questions < int(asked) {
		t.Errorf("only %d questions were asked, want %d: CHAOS_QUESTIONS sets how many", v.Questions, asked)
	}
}

// The same of one replica whose sessions are in ConfigMaps, while it and the API server are killed.
func TestConfigMap(t *testing.T) {
	const followers = 24
	s := seed(t)
	_, app := apps(s)
	w := newWorld(t, "1 replica, ConfigMap", s, app)
	binary := build(t)
	api := startAPIServer(t)
	w.store = store{kill: api.kill, start: api.start}
	namespace := api.Namespace(t, "chaos")
	wrap, env := api.pod(t, namespace)
	config := w.configure(t, 0, fmt.Sprintf("{type: ConfigMap, configMap: {namespace: %s, name: chaos-sessions}}", namespace), nil)
	w.replicas = append(w.replicas, startReplica(t, 0, w.logs, env, append(wrap, binary, "--config", config)...))
	w.open(t, followers)
	w.run(t, configMapSchedule(scheduleRand(w.seed)), calm)
	v := w.judge(t)
	t.Log(w.table(v))
	v.check(t)
}
