package controllers_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// used are the rights that the operators of the tests have needed: the whole package's, as each test needs some.
var used = &rights{known: map[string]bool{}}

// rights are verbs on resources, written "verb group/resource".
type rights struct {
	mu    sync.Mutex
	known map[string]bool
}

// add notes what a request needed that the API server has granted.
func (u *rights) add(r *http.Request, status int) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	group := ""
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		group, parts = parts[1], parts[3:]
	default:
		return // discovery
	}
	if parts[0] == "namespaces" && len(parts) > 2 {
		parts = parts[2:]
	}
	resource := parts[0]
	if len(parts) > 2 {
		resource += "/" + parts[2]
	}
	verb := map[string]string{
		http.MethodGet: "list", http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete",
	}[r.Method]
	switch {
	case r.Method == http.MethodGet && r.URL.Query().Get("watch") != "":
		verb = "watch"
	case r.Method == http.MethodGet && len(parts) > 1:
		verb = "get"
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.known[verb+" "+group+"/"+resource] = true
	if r.Method == http.MethodPatch && status == http.StatusCreated {
		u.known["create "+group+"/"+resource] = true // an apply that creates needs both
	}
}

// needs tells whether a right was used, or goes with one that was: a watch falls back to a list where the API server does
// not stream one, and what an apply has met is read by its name where the caches lack it.
func (u *rights) needs(verb, resource string) bool {
	with := map[string]string{"list": "watch", "get": "patch"}[verb]
	return u.known[verb+" "+resource] || with != "" && u.known[with+" "+resource]
}

// unneeded are rights whose use only a real cluster shows, with the reason.
var unneeded = []string{
	"get gateway.networking.k8s.io/listenersets",
	"get cert-manager.io/certificates",
	"patch events.k8s.io/events", // the same event again within minutes
}

// unusedRights are the rights of config/rbac/role.yaml that nothing has needed.
func unusedRights() (all []string) {
	content, err := os.ReadFile(filepath.Join("..", "config", "rbac", "role.yaml"))
	if err != nil {
		return []string{err.Error()}
	}
	for document := range strings.SplitSeq(string(content), "\n---\n") {
		var role rbacv1.ClusterRole
		if err := yaml.UnmarshalStrict([]byte(document), &role); err != nil {
			return []string{err.Error()}
		}
		for _, rule := range role.Rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						right := verb + " " + group + "/" + resource
						if !used.needs(verb, group+"/"+resource) && !slices.Contains(unneeded, right) {
							all = append(all, right)
						}
					}
				}
			}
		}
	}
	slices.Sort(all)
	return all
}
