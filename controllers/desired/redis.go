package desired

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsv1 "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1 "k8s.io/client-go/applyconfigurations/core/v1"
	metav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	networkingv1 "k8s.io/client-go/applyconfigurations/networking/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

// DefaultRedisImage is the image of a managed Redis where neither the bot nor the operator's flag names one.
const DefaultRedisImage = "docker.io/library/redis:7.4-alpine"

// Keys of the Secret of a managed Redis: the password as the webhook servers read it, and as redis.conf includes it.
const (
	KeyRedisPassword = "password"
	KeyRedisAuth     = "auth.conf"
)

const (
	portRedis      = "redis"
	redisPort      = 6379
	redisFile      = "redis.conf"
	redisDir       = "/etc/redis"
	redisSecretDir = "/etc/redis-secret"
	redisDataDir   = "/data"
	// redisUser is the user and group of that name in the official image; any other image's files are readable by it too.
	redisUser = 999
	// prober is the Redis user that the probes are: it may ping and nothing else, so that it needs no password.
	prober = "probe"
)

// managedRedis adds the Redis of the bot's own.
func (c *Children) managedRedis(bot *v1alpha1.WechatBot, operator Operator, around Surroundings) error {
	spec := bot.Spec.Session.Redis.Managed
	storage := redisStorage(spec)
	if storage.Cmp(around.Volume) < 0 {
		return &InvalidError{v1alpha1.ReasonInvalidSpec, fmt.Sprintf("spec.session.redis.managed.storage: %s is less than the volume "+
			"(PersistentVolumeClaim %s) has, and no volume can shrink: set it to %s or more", storage.String(), naming.RedisClaim(bot), around.Volume.String())}
	}
	conf := redisConf(spec)
	c.Password = redisSecret(bot)
	c.RedisConfig = redisConfig(bot, conf)
	c.RedisService = redisService(bot)
	c.RedisPolicy = redisPolicy(bot)
	c.Redis = redisStatefulSet(bot, operator, around, conf)
	c.RedisVolume = storage
	return nil
}

func redisStorage(spec *v1alpha1.ManagedRedis) resource.Quantity {
	if spec.Storage.IsZero() {
		return resource.MustParse("1Gi")
	}
	return spec.Storage
}

func redisAddress(bot *v1alpha1.WechatBot) string {
	return fmt.Sprintf("%s:%d", naming.ManagedRedis(bot), redisPort)
}

func password(bot *v1alpha1.WechatBot) *v1alpha1.SecretKeyRef {
	return &v1alpha1.SecretKeyRef{Name: naming.ManagedRedis(bot), Key: KeyRedisPassword}
}

func redisSecret(bot *v1alpha1.WechatBot) *corev1.SecretApplyConfiguration {
	return corev1.Secret(naming.ManagedRedis(bot), bot.Namespace).
		WithLabels(naming.Labels(bot, naming.Redis)).
		WithOwnerReferences(owner(bot))
}

// redisConf is the configuration file of a managed Redis 6.2 or newer. A write is on the volume a second later; a Redis that is
// full refuses writes instead of forgetting followers; the password is in a file of its own.
func redisConf(spec *v1alpha1.ManagedRedis) string {
	conf := `bind * -::*
port 6379
protected-mode no
databases 1
dir ` + redisDataDir + `
save ""
appendonly yes
appendfsync everysec
auto-aof-rewrite-min-size 16mb
maxmemory-policy noeviction
`
	limits := redisResources().Limits
	if spec.Resources != nil {
		limits = spec.Resources.Limits
	}
	// What is left is for the process that rewrites the log, and for what Redis' allocator cannot use.
	if limit := limits.Memory().Value(); limit > 0 {
		conf += fmt.Sprintf("maxmemory %d\n", limit/4*3)
	}
	return conf + "user " + prober + " on nopass resetkeys resetchannels -@all +ping\n" +
		"include " + redisSecretDir + "/" + KeyRedisAuth + "\n"
}

func redisConfig(bot *v1alpha1.WechatBot, conf string) *corev1.ConfigMapApplyConfiguration {
	return corev1.ConfigMap(naming.ManagedRedis(bot), bot.Namespace).
		WithLabels(naming.Labels(bot, naming.Redis)).
		WithOwnerReferences(owner(bot)).
		WithData(map[string]string{redisFile: conf})
}

// redisService has an address that stays: the servers' connections fail at once while the pod is away, and no resolver
// remembers an old one.
func redisService(bot *v1alpha1.WechatBot) *corev1.ServiceApplyConfiguration {
	return corev1.Service(naming.ManagedRedis(bot), bot.Namespace).
		WithLabels(naming.Labels(bot, naming.Redis)).
		WithOwnerReferences(owner(bot)).
		WithSpec(corev1.ServiceSpec().
			WithType(core.ServiceTypeClusterIP).
			WithSelector(naming.RedisSelector(bot)).
			WithPorts(corev1.ServicePort().
				WithName(portRedis).WithProtocol(core.ProtocolTCP).
				WithPort(redisPort).WithTargetPort(intstr.FromString(portRedis))))
}

// redisPolicy lets the bot's servers in, and nothing out. (The kubelet runs the probes in the container.)
func redisPolicy(bot *v1alpha1.WechatBot) *networkingv1.NetworkPolicyApplyConfiguration {
	return networkingv1.NetworkPolicy(naming.ManagedRedis(bot), bot.Namespace).
		WithLabels(naming.Labels(bot, naming.Redis)).
		WithOwnerReferences(owner(bot)).
		WithSpec(networkingv1.NetworkPolicySpec().
			WithPodSelector(metav1.LabelSelector().WithMatchLabels(naming.RedisSelector(bot))).
			WithPolicyTypes(networking.PolicyTypeIngress, networking.PolicyTypeEgress).
			WithIngress(networkingv1.NetworkPolicyIngressRule().
				WithFrom(networkingv1.NetworkPolicyPeer().
					WithPodSelector(metav1.LabelSelector().WithMatchLabels(naming.Selector(bot)))).
				WithPorts(networkingv1.NetworkPolicyPort().
					WithProtocol(core.ProtocolTCP).WithPort(intstr.FromString(portRedis)))))
}

func redisStatefulSet(bot *v1alpha1.WechatBot, operator Operator, around Surroundings, conf string) *appsv1.StatefulSetApplyConfiguration {
	whenDeleted := apps.RetainPersistentVolumeClaimRetentionPolicyType
	if bot.Spec.Session.Redis.Managed.DeletePVC {
		whenDeleted = apps.DeletePersistentVolumeClaimRetentionPolicyType
	}
	return appsv1.StatefulSet(naming.ManagedRedis(bot), bot.Namespace).
		WithLabels(naming.Labels(bot, naming.Redis)).
		WithOwnerReferences(owner(bot)).
		WithSpec(appsv1.StatefulSetSpec().
			WithReplicas(1).
			WithServiceName(naming.ManagedRedis(bot)).
			WithRevisionHistoryLimit(3).
			// A pod that never gets ready (an image that does not exist) is replaced when its template is corrected; with
			// OrderedReady it would be waited for.
			WithPodManagementPolicy(apps.ParallelPodManagement).
			WithSelector(metav1.LabelSelector().WithMatchLabels(naming.RedisSelector(bot))).
			WithPersistentVolumeClaimRetentionPolicy(appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy().
				WithWhenDeleted(whenDeleted).WithWhenScaled(apps.RetainPersistentVolumeClaimRetentionPolicyType)).
			WithVolumeClaimTemplates(redisClaim(bot, around)).
			WithTemplate(redisPod(bot, operator, conf)))
}

// redisClaim is written as the API server completes it: it owns the list as a whole. Where there is a StatefulSet, the
// claim is as it was made, since it cannot be changed: a volume grows by itself.
func redisClaim(bot *v1alpha1.WechatBot, around Surroundings) *corev1.PersistentVolumeClaimApplyConfiguration {
	spec := bot.Spec.Session.Redis.Managed
	storage, class := redisStorage(spec), spec.StorageClassName
	if around.Claim != nil {
		storage, class = *around.Claim.Resources.Requests.Storage(), ""
		if around.Claim.StorageClassName != nil {
			class = *around.Claim.StorageClassName
		}
	}
	wanted := corev1.PersistentVolumeClaimSpec().
		WithAccessModes(core.ReadWriteOnce).
		WithVolumeMode(core.PersistentVolumeFilesystem).
		WithResources(corev1.VolumeResourceRequirements().WithRequests(core.ResourceList{core.ResourceStorage: storage}))
	if class != "" {
		wanted.WithStorageClassName(class)
	}
	claim := &corev1.PersistentVolumeClaimApplyConfiguration{}
	return claim.WithName(naming.RedisVolume).
		WithLabels(naming.Labels(bot, naming.Redis)).
		WithSpec(wanted).
		WithStatus(corev1.PersistentVolumeClaimStatus().WithPhase(core.ClaimPending))
}

func redisPod(bot *v1alpha1.WechatBot, operator Operator, conf string) *corev1.PodTemplateSpecApplyConfiguration {
	spec := corev1.PodSpec().
		WithServiceAccountName(bot.Name).
		WithAutomountServiceAccountToken(false).
		WithEnableServiceLinks(false).
		WithSecurityContext(corev1.PodSecurityContext().
			WithRunAsNonRoot(true).WithRunAsUser(redisUser).WithRunAsGroup(redisUser).
			WithFSGroup(redisUser).WithFSGroupChangePolicy(core.FSGroupChangeOnRootMismatch).
			WithSeccompProfile(corev1.SeccompProfile().WithType(core.SeccompProfileTypeRuntimeDefault))).
		WithContainers(redisContainer(bot, operator)).
		WithVolumes(
			corev1.Volume().WithName("config").
				WithConfigMap(corev1.ConfigMapVolumeSource().WithName(naming.ManagedRedis(bot))),
			corev1.Volume().WithName("secret").WithSecret(corev1.SecretVolumeSource().
				WithSecretName(naming.ManagedRedis(bot)).WithDefaultMode(0o440).
				WithItems(corev1.KeyToPath().WithKey(KeyRedisAuth).WithPath(KeyRedisAuth))))
	for _, secret := range bot.Spec.ImagePullSecrets {
		spec.WithImagePullSecrets(corev1.LocalObjectReference().WithName(secret.Name))
	}
	sum := sha256.Sum256([]byte(conf))
	return corev1.PodTemplateSpec().
		WithLabels(naming.Labels(bot, naming.Redis)).
		// Redis reads its configuration at its start.
		WithAnnotations(map[string]string{AnnotationConfig: hex.EncodeToString(sum[:16])}).
		WithSpec(spec)
}

func redisContainer(bot *v1alpha1.WechatBot, operator Operator) *corev1.ContainerApplyConfiguration {
	spec := bot.Spec.Session.Redis.Managed
	image := DefaultRedisImage
	set(&image, operator.RedisImage)
	set(&image, spec.Image)
	return corev1.Container().WithName(naming.RedisContainer).
		WithImage(image).
		WithCommand("redis-server", redisDir+"/"+redisFile).
		WithPorts(corev1.ContainerPort().WithName(portRedis).WithContainerPort(redisPort).WithProtocol(core.ProtocolTCP)).
		WithStartupProbe(redisProbe(ping(false), 1, 60)).
		WithReadinessProbe(redisProbe(ping(true), 5, 2)).
		WithLivenessProbe(redisProbe(ping(false), 10, 6)).
		WithResources(resources(spec.Resources, redisResources())).
		WithSecurityContext(restricted()).
		WithVolumeMounts(
			corev1.VolumeMount().WithName("config").WithMountPath(redisDir).WithReadOnly(true),
			corev1.VolumeMount().WithName("secret").WithMountPath(redisSecretDir).WithReadOnly(true),
			corev1.VolumeMount().WithName(naming.RedisVolume).WithMountPath(redisDataDir))
}

func redisResources() v1alpha1.Resources {
	return v1alpha1.Resources{
		Requests: core.ResourceList{
			core.ResourceCPU: resource.MustParse("20m"), core.ResourceMemory: resource.MustParse("64Mi"),
		},
		Limits: core.ResourceList{core.ResourceMemory: resource.MustParse("256Mi")},
	}
}

// ping is the command of a managed Redis' probes. Any answer shows that it lives: one that loads a long log, or whose
// volume is full, must not be killed for it. Ready is one whose answer is good.
func ping(good bool) []string {
	command := []string{"redis-cli", "--user", prober, "--pass", prober, "--no-auth-warning"}
	if good {
		command = append(command, "-e")
	}
	return append(command, "ping")
}

func redisProbe(command []string, period, failures int32) *corev1.ProbeApplyConfiguration {
	return corev1.Probe().WithExec(corev1.ExecAction().WithCommand(command...)).
		WithPeriodSeconds(period).WithFailureThreshold(failures).WithTimeoutSeconds(3)
}
