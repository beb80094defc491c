package controllers

// What the operator may do, and why. hack/generate.sh makes config/rbac/role.yaml of it, which the tests run with;
// with --watch-namespaces the same rules are granted in those namespaces only (config/namespaced).
//
// Bots are the users': the operator reads them, and writes nothing but the status.
// +kubebuilder:rbac:groups=wechatbot.dev,resources=wechatbots,verbs=list;watch
// +kubebuilder:rbac:groups=wechatbot.dev,resources=wechatbots/status,verbs=patch
//
// Secrets: one at a time and by name, as a bot refers to it, to say what is missing. Never list or watch: nothing of a
// Secret is cached, and what no bot names is never read.
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get
//
// The password of a managed Redis is made once. It is a role of its own, manager-redis, to be left out where no bot may
// have a managed Redis; without it such a bot says what is missing.
// +kubebuilder:rbac:roleName=manager-redis,groups="",resources=secrets,verbs=create
//
// The bots' objects: caches list and watch those with the operator's label; what they lack although it is there is read
// by its name; apply creates and patches, pruning deletes. A bot always has its ServiceAccount and its Deployment: the
// garbage collector deletes these.
// +kubebuilder:rbac:groups="",resources=serviceaccounts,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=services,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=apps,resources=deployments,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=apps,resources=statefulsets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=networking.k8s.io,resources=ingresses;networkpolicies,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=gateway.networking.k8s.io,resources=httproutes,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch;create;patch;delete
//
// ConfigMaps as well: configurations, and those of the servers' session stores.
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch;create;patch;delete
//
// A server gets a Role for its own session store: get and patch of its ConfigMaps. Without "escalate" and "bind" the
// operator can grant nothing beyond what is listed here.
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=roles;rolebindings,verbs=get;list;watch;create;patch;delete
//
// The volume of a managed Redis: to say why it is not there, and to let it grow. The StatefulSet's controller makes and
// deletes it.
// +kubebuilder:rbac:groups="",resources=persistentvolumeclaims,verbs=get;list;watch;patch
//
// ReplicaSets, to keep a configuration as long as one of them may start servers with it.
// +kubebuilder:rbac:groups=apps,resources=replicasets,verbs=list
//
// Pods, to say why one does not start.
// +kubebuilder:rbac:groups="",resources=pods,verbs=list;watch
//
// IngressClasses, to say that the one of a bot does not exist. They belong to the cluster: with --watch-namespaces the
// operator does without.
// +kubebuilder:rbac:groups=networking.k8s.io,resources=ingressclasses,verbs=list;watch
//
// Gateways and ListenerSets that a bot names, one at a time, to say that none of their listeners for the domain speaks TLS. And
// cert-manager's Certificate of a bot, to say why it is not there. Without these rights, or without what they are about,
// the operator says less.
// +kubebuilder:rbac:groups=gateway.networking.k8s.io,resources=gateways;listenersets,verbs=get
// +kubebuilder:rbac:groups=cert-manager.io,resources=certificates,verbs=get
//
// Events about the bots. And those about a managed Redis that has no pod or volume, and about one pod that does not start, to
// say why: the kubelet and the controllers say so nowhere else. They are listed for one object, and never watched.
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups="",resources=events,verbs=list
