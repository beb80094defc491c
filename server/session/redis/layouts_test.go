//go:build redis

package redis

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/wechatbot/wechatbot-operator/server/session/sessiontest"
)

// startCluster starts three nodes that share the slots.
func startCluster(t *testing.T) (Server, []*server) {
	t.Helper()
	const nodes, slots = 3, 16384
	var at []string
	var all []*server
	for i := range nodes {
		s := startServer(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
		c := s.client()
		from, to := i*slots/nodes, (i+1)*slots/nodes-1
		if err := c.ClusterAddSlotsRange(t.Context(), from, to).Err(); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			if err := c.ClusterMeet(t.Context(), "127.0.0.1", strconv.Itoa(all[0].port)).Err(); err != nil {
				t.Fatal(err)
			}
		}
		at, all = append(at, s.addr()), append(all, s)
	}
	for _, s := range all {
		c := s.client()
		s.eventually("the cluster is complete", func() bool {
			info, err := c.ClusterInfo(t.Context()).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		})
	}
	return Server{Mode: Cluster, Addresses: at[:2]}, all
}

func TestSuiteInCluster(t *testing.T) {
	t.Parallel()
	at, _ := startCluster(t)
	sessiontest.Run(t, harness(at))
}

func TestBotsOfAClusterAreSpread(t *testing.T) {
	t.Parallel()
	at, nodes := startCluster(t)
	for range 20 {
		if err := openStore(t, newBot(), at, options()).Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	all := int64(0)
	sizes := make([]int64, len(nodes))
	for i, n := range nodes {
		sizes[i] = n.client().DBSize(t.Context()).Val()
		all += sizes[i]
	}
	for _, got := range sizes {
		if got == 0 || got == all {
			t.Errorf("a node has %d of all %d keys", got, all)
		}
	}
}

// startSentinel starts a master, a replica of it, and a sentinel that makes the replica the master when that is gone.
func startSentinel(t *testing.T) (at Server, master, replica *server) {
	t.Helper()
	master = startServer(t)
	replica = startServer(t, "--replicaof", "127.0.0.1 "+strconv.Itoa(master.port), "--repl-diskless-sync-delay", "0")
	c := replica.client()
	eventually(t, "the replica follows", func() bool {
		return strings.Contains(c.Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor bots 127.0.0.1 %d 1\nsentinel down-after-milliseconds bots 500\n"+
		"sentinel failover-timeout bots 5000\n", master.port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := &server{t: t, dir: t.TempDir(), port: freePort(t), file: file, args: []string{"--sentinel"}}
	sentinel.start()
	t.Cleanup(sentinel.kill)
	asked := goredis.NewSentinelClient(&goredis.Options{Addr: sentinel.addr()})
	t.Cleanup(func() { _ = asked.Close() })
	eventually(t, "the sentinel knows the replica", func() bool {
		known, err := asked.Replicas(t.Context(), "bots").Result()
		return err == nil && len(known) == 1
	})
	return Server{Mode: Sentinel, Addresses: []string{sentinel.addr()}, MasterName: "bots"}, master, replica
}

// The master dies for good in the middle. What it had not yet told its replica is lost, and asked again.
func TestFailoverLosesNothing(t *testing.T) {
	t.Parallel()
	at, master, replica := startSentinel(t)
	stores := hasty(t, at, shortLeases())
	c := converse(t, stores, func() { master.kill() })
	again := 0
	for k, n := range c.calls {
		if n > 2 {
			t.Errorf("%v was worked on %d times", k, n)
		}
		again += n - 1
	}
	t.Logf("%d of %d turns were worked on again, %d leases were lost", again, c.total, c.lost)
	if again > conversing {
		t.Errorf("%d turns were worked on again, more than were in work", again)
	}
	if role := replica.client().Do(t.Context(), "ROLE").Val(); !strings.HasPrefix(fmt.Sprint(role), "[master") {
		t.Errorf("the replica's role is %v", role)
	}
	for _, s := range stores {
		if err := s.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		eventually(t, "subscribed to the new master", s.port.listening.Load)
	}
}

func TestWrongLayoutIsExplained(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	cluster, _ := startCluster(t)
	for name, tt := range map[string]struct {
		at   Server
		want string
	}{
		"no cluster":      {Server{Mode: Cluster, Addresses: []string{s.addr()}}, "Redis is no cluster"},
		"a cluster":       {Server{Mode: Standalone, Addresses: cluster.Addresses[:1]}, "set mode Cluster"},
		"no sentinel":     {Server{Mode: Sentinel, Addresses: []string{s.addr()}, MasterName: "bots"}, "no sentinel answers"},
		"nobody is there": {Server{Mode: Standalone, Addresses: []string{"127.0.0.1:1"}}, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			// Of some twenty bots at least one is not where this node is.
			var said []string
			for range 20 {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				err := openStore(t, newBot(), tt.at, options()).Ping(ctx)
				cancel()
				if err != nil && strings.Contains(err.Error(), tt.want) {
					return
				}
				said = append(said, fmt.Sprint(err))
			}
			t.Errorf("said %q, want %q in one of them", said, tt.want)
		})
	}
}
