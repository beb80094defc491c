package desired

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsv1 "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1 "k8s.io/client-go/applyconfigurations/core/v1"
	metav1 "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/controllers/naming"
)

const (
	portWebhook = "webhook"
	portAdmin   = "admin"

	// AdminPort is where servers say how they are.
	AdminPort = 9090

	// AnnotationConfig of the pod template is the hash of those settings that a server takes at its start only: a
	// change of it rolls the pods, any other change of the settings does not.
	AnnotationConfig = "wechatbot.dev/config"

	// AnnotationSecret of a managed Redis' pod is the resourceVersion of the Secret with its password: another one restarts
	// Redis.
	AnnotationSecret = "wechatbot.dev/secret"

	// AnnotationTemplate of the Deployment and of a managed Redis' StatefulSet is the hash of its pod template as the operator
	// wants it: another one replaces the pods.
	AnnotationTemplate = "wechatbot.dev/template"

	// stopMargin is what a server needs to stop beyond its longest turn: it waits 30 s longer, and the endpoints and
	// the last replies take their time.
	stopMargin = 45 * time.Second
)

// Deployment runs the webhook servers. startHash is that of the server's configuration.
func Deployment(bot *v1alpha1.WechatBot, operator Operator, startHash string) (*appsv1.DeploymentApplyConfiguration, error) {
	template, err := mergePodTemplate(podTemplate(bot, operator, startHash), bot.Spec.PodTemplate)
	if err != nil {
		return nil, err
	}
	hash, err := templateHash(template)
	if err != nil {
		return nil, err
	}
	return appsv1.Deployment(bot.Name, bot.Namespace).
		WithLabels(naming.Labels(bot, naming.Server)).
		WithAnnotations(map[string]string{AnnotationTemplate: hash}).
		WithOwnerReferences(owner(bot)).
		WithSpec(appsv1.DeploymentSpec().
			WithReplicas(bot.Spec.DesiredReplicas()).
			WithRevisionHistoryLimit(3).
			WithSelector(metav1.LabelSelector().WithMatchLabels(naming.Selector(bot))).
			WithStrategy(strategy()).
			WithTemplate(template)), nil
}

// templateHash is the same for templates that need no rollout from one to the other.
func templateHash(template *corev1.PodTemplateSpecApplyConfiguration) (string, error) {
	encoded, err := json.Marshal(template)
	if err != nil {
		return "", fmt.Errorf("encoding the pod template: %w", err)
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:16]), nil
}

// strategy never takes a server away before its successor listens. With sessions in ConfigMaps that one stands by until
// its predecessor has stopped.
func strategy() *appsv1.DeploymentStrategyApplyConfiguration {
	return appsv1.DeploymentStrategy().WithType(apps.RollingUpdateDeploymentStrategyType).
		WithRollingUpdate(appsv1.RollingUpdateDeployment().
			WithMaxUnavailable(intstr.FromInt32(0)).WithMaxSurge(intstr.FromInt32(1)))
}

// podTemplate is the operator's own, before the user's is merged over it. Whatever changes in it between releases,
// other than the image, restarts every bot at an upgrade.
func podTemplate(bot *v1alpha1.WechatBot, operator Operator, startHash string) *corev1.PodTemplateSpecApplyConfiguration {
	spec := corev1.PodSpec().
		WithServiceAccountName(bot.Name).
		WithAutomountServiceAccountToken(bot.Spec.Session.Type != v1alpha1.SessionRedis).
		WithEnableServiceLinks(false).
		WithTerminationGracePeriodSeconds(int64((bot.Spec.Dify.Timeout.Duration+stopMargin).Round(time.Second)/time.Second)).
		WithSecurityContext(corev1.PodSecurityContext().
			WithRunAsNonRoot(true).
			WithSeccompProfile(corev1.SeccompProfile().WithType(core.SeccompProfileTypeRuntimeDefault))).
		WithContainers(container(bot, operator)).
		WithVolumes(
			corev1.Volume().WithName("config").
				WithConfigMap(corev1.ConfigMapVolumeSource().WithName(naming.Config(bot, startHash))),
			corev1.Volume().WithName("secrets").WithProjected(secretFiles(bot)))
	for _, secret := range bot.Spec.ImagePullSecrets {
		spec.WithImagePullSecrets(corev1.LocalObjectReference().WithName(secret.Name))
	}
	if bot.Spec.Session.Type == v1alpha1.SessionRedis {
		spec.WithTopologySpreadConstraints(corev1.TopologySpreadConstraint().
			WithMaxSkew(1).WithTopologyKey("kubernetes.io/hostname").WithWhenUnsatisfiable(core.ScheduleAnyway).
			WithLabelSelector(metav1.LabelSelector().WithMatchLabels(naming.Selector(bot))))
	}
	return corev1.PodTemplateSpec().
		WithLabels(naming.Labels(bot, naming.Server)).
		WithAnnotations(map[string]string{AnnotationConfig: startHash}).
		WithSpec(spec)
}

func container(bot *v1alpha1.WechatBot, operator Operator) *corev1.ContainerApplyConfiguration {
	image := operator.Image
	set(&image, bot.Spec.Image)
	return corev1.Container().WithName(naming.ServerContainer).
		WithImage(image).
		WithCommand("/server").
		WithArgs("--config="+configDir+"/"+configFile).
		// The garbage collector works harder near the limit instead of meeting the kernel's.
		WithEnv(corev1.EnvVar().WithName("GOMEMLIMIT").WithValueFrom(corev1.EnvVarSource().
			WithResourceFieldRef(corev1.ResourceFieldSelector().
				WithContainerName(naming.ServerContainer).WithResource("limits.memory").
				// The API server's default, which would count as a difference otherwise.
				WithDivisor(resource.MustParse("0")))),
			ofPod("POD_NAME", "metadata.name"), ofPod("POD_IP", "status.podIP"),
			// Not a flag: a server of a release that does not know it would end by it.
			corev1.EnvVar().WithName("CONFIG_BY_OPERATOR").WithValue("true")).
		// What a server says last is in the bot's condition when it ends by itself.
		WithTerminationMessagePolicy(core.TerminationMessageFallbackToLogsOnError).
		WithPorts(
			corev1.ContainerPort().WithName(portWebhook).WithContainerPort(8080).WithProtocol(core.ProtocolTCP),
			corev1.ContainerPort().WithName(portAdmin).WithContainerPort(AdminPort).WithProtocol(core.ProtocolTCP)).
		WithStartupProbe(probe("/healthz", 1, 30)).
		WithReadinessProbe(probe("/readyz", 5, 2)).
		WithLivenessProbe(probe("/healthz", 10, 6)).
		WithResources(resources(bot.Spec.Resources, defaultResources())).
		WithSecurityContext(restricted()).
		WithVolumeMounts(
			corev1.VolumeMount().WithName("config").WithMountPath(configDir).WithReadOnly(true),
			corev1.VolumeMount().WithName("secrets").WithMountPath(secretsDir).WithReadOnly(true))
}

// ofPod is a variable that has a field of its pod: the servers of a bot know each other by these.
func ofPod(name, field string) *corev1.EnvVarApplyConfiguration {
	return corev1.EnvVar().WithName(name).WithValueFrom(corev1.EnvVarSource().
		WithFieldRef(corev1.ObjectFieldSelector().WithAPIVersion("v1").WithFieldPath(field)))
}

// restricted is what the Pod Security Standard of that name asks of a container, and a root filesystem that stays as it
// is.
func restricted() *corev1.SecurityContextApplyConfiguration {
	return corev1.SecurityContext().
		WithAllowPrivilegeEscalation(false).
		WithReadOnlyRootFilesystem(true).
		WithRunAsNonRoot(true).
		WithCapabilities(corev1.Capabilities().WithDrop("ALL"))
}

func probe(path string, period, failures int32) *corev1.ProbeApplyConfiguration {
	return corev1.Probe().
		WithHTTPGet(corev1.HTTPGetAction().WithPath(path).WithPort(intstr.FromString(portAdmin))).
		WithPeriodSeconds(period).WithFailureThreshold(failures).WithTimeoutSeconds(3)
}

func defaultResources() v1alpha1.Resources {
	return v1alpha1.Resources{
		Requests: core.ResourceList{
			core.ResourceCPU: resource.MustParse("20m"), core.ResourceMemory: resource.MustParse("32Mi"),
		},
		Limits: core.ResourceList{core.ResourceMemory: resource.MustParse("128Mi")},
	}
}

func resources(wanted *v1alpha1.Resources, otherwise v1alpha1.Resources) *corev1.ResourceRequirementsApplyConfiguration {
	if wanted == nil {
		wanted = &otherwise
	}
	r := corev1.ResourceRequirements()
	if len(wanted.Requests) > 0 {
		r.WithRequests(wanted.Requests)
	}
	if len(wanted.Limits) > 0 {
		r.WithLimits(wanted.Limits)
	}
	return r
}
