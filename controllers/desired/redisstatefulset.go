package desired

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	appsv1 "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1 "k8s.io/client-go/applyconfigurations/core/v1"
	metav1 "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

func redisStatefulSet(bot *v1alpha1.WechatBot, operator Operator, around Surroundings, conf string) (*appsv1.StatefulSetApplyConfiguration, error) {
	claim, err := redisClaim(bot, around)
	if err != nil {
		return nil, err
	}
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
			WithVolumeClaimTemplates(claim).
			WithTemplate(redisPod(bot, operator, conf))), nil
}

// redisClaim is written as the API server completes it: it owns the list as a whole. Where there is a StatefulSet, the
// claim is as it was made, with what an admission policy has added to it, since it cannot be changed: a volume grows by
// itself.
func redisClaim(bot *v1alpha1.WechatBot, around Surroundings) (*corev1.PersistentVolumeClaimApplyConfiguration, error) {
	claim := &corev1.PersistentVolumeClaimApplyConfiguration{}
	if around.Claim != nil {
		made, err := json.Marshal(around.Claim)
		if err == nil {
			err = json.Unmarshal(made, claim)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the claim of the managed Redis: %w", err)
		}
		return claim, nil
	}
	spec := bot.Spec.Session.Redis.Managed
	wanted := corev1.PersistentVolumeClaimSpec().
		WithAccessModes(core.ReadWriteOnce).
		WithVolumeMode(core.PersistentVolumeFilesystem).
		WithResources(corev1.VolumeResourceRequirements().WithRequests(core.ResourceList{core.ResourceStorage: redisStorage(spec)}))
	if spec.StorageClassName != "" {
		wanted.WithStorageClassName(spec.StorageClassName)
	}
	return claim.WithName(naming.RedisVolume).
		WithLabels(naming.RetainedLabels(bot, naming.Redis)).
		WithSpec(wanted).
		WithStatus(corev1.PersistentVolumeClaimStatus().WithPhase(core.ClaimPending)), nil
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
		WithTerminationMessagePolicy(core.TerminationMessageFallbackToLogsOnError).
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
