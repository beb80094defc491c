package serverconfig

import (
	"cmp"
	"strconv"
	"strings"
)

// SessionType names the store that remembers followers.
type SessionType string

// The stores. Only Redis can be shared by replicas; Memory forgets at every restart.
const (
	SessionMemory    SessionType = "Memory"
	SessionConfigMap SessionType = "ConfigMap"
	SessionRedis     SessionType = "Redis"
)

// Session describes what is remembered of a follower, and where.
type Session struct {
	// Type chooses the store.
	Type SessionType `json:"type"`
	// IdleTimeout is after how much silence a follower's session is forgotten: 1m to 8760h.
	IdleTimeout Duration `json:"idleTimeout"`
	// History is how many turns a session keeps: 1 to 200.
	History int `json:"history"`
	// ConfigMap is used with type ConfigMap only.
	ConfigMap ConfigMap `json:"configMap,omitzero"`
	// Redis is used with type Redis only.
	Redis Redis `json:"redis,omitzero"`
}

// ConfigMap names the ConfigMaps that hold the sessions. Its default is the bot's namespace, and the bot's name with
// "-sessions".
type ConfigMap struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// SessionObjects is how many ConfigMaps a store has. It is part of the stored format.
const SessionObjects = 8

// Objects names the store's ConfigMaps: name-0, name-1, … They are few and always the same, so that a Role can name
// them and the operator can create them; a server may only read and patch them.
func (m *ConfigMap) Objects() []string {
	names := make([]string, SessionObjects)
	for i := range names {
		names[i] = m.Name + "-" + strconv.Itoa(i)
	}
	return names
}

// RedisMode is how a Redis is laid out.
type RedisMode string

// The layouts of Redis.
const (
	RedisStandalone RedisMode = "Standalone"
	RedisSentinel   RedisMode = "Sentinel"
	RedisCluster    RedisMode = "Cluster"
)

// Redis describes the Redis that holds the sessions. User name, password and CA are secret files.
type Redis struct {
	// Mode is Standalone unless it says otherwise.
	Mode RedisMode `json:"mode"`
	// Addresses are host:port: of the server, of the sentinels, or of some nodes of the cluster. 127.0.0.1:6379 if none.
	Addresses []string `json:"addresses,omitempty"`
	// MasterName is the name the sentinels know the master by: required with Sentinel, and only used there.
	MasterName string `json:"masterName"`
	// Database is the number of the database: 0 to 65535, in a cluster always 0.
	Database int `json:"database"`
	// TLS describes the connection's encryption.
	TLS RedisTLS `json:"tls"`
}

// RedisTLS describes how the connection to Redis is encrypted.
type RedisTLS struct {
	// Enabled turns TLS on; the server is checked against the secret file redis-ca.crt, or else the system's CAs.
	Enabled bool `json:"enabled"`
	// InsecureSkipVerify does not check the server's certificate at all.
	InsecureSkipVerify bool `json:"insecureSkipVerify"`
}

// complete fills in the chosen store's section, whose defaults depend on other fields.
func (c *Config) complete() {
	switch c.Session.Type {
	case SessionConfigMap:
		namespace, name, _ := strings.Cut(c.Bot, "/")
		cm := &c.Session.ConfigMap
		cm.Namespace = cmp.Or(cm.Namespace, namespace)
		if cm.Name == "" && name != "" {
			cm.Name = name + "-sessions"
		}
	case SessionRedis:
		r := &c.Session.Redis
		r.Mode = cmp.Or(r.Mode, RedisStandalone)
		if len(r.Addresses) == 0 {
			r.Addresses = []string{"127.0.0.1:6379"}
		}
	case SessionMemory:
	}
}
