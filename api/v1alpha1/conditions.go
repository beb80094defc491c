package v1alpha1

// Types of the conditions of a WechatBot. Positive ones are good when True; abnormal-true ones are present only while
// they are True (kstatus), and never two of them at once.
const (
	// ConditionReady (positive, always present) sums up: True when every other positive condition that applies is True, DifyReachable
	// excepted once the bot was ready. When not, it has the reason and message of the first that fails, in the order of this list.
	// Connected, AccountReady and MenuPublished do not decide it: a bot is ready before WeChat's console knows its URL, and answers
	// without WeChat's API.
	ConditionReady = "Ready"
	// ConditionSecretsResolved (positive): every Secret and key that the spec names exists and is well-formed.
	ConditionSecretsResolved = "SecretsResolved"
	// ConditionDifyReachable (positive): Dify accepted the API key, and the app is of a mode that can chat. Absent where the
	// operator asks no Dify (--probe-dify=false).
	ConditionDifyReachable = "DifyReachable"
	// ConditionSessionStoreReady (positive): the session store answers, as the webhook servers say.
	ConditionSessionStoreReady = "SessionStoreReady"
	// ConditionAvailable (positive): every replica of this generation serves.
	ConditionAvailable = "Available"
	// ConditionExposed (positive): the Ingress has an address, or every parent accepted the HTTPRoute.
	ConditionExposed = "Exposed"
	// ConditionCertificateReady (positive, only where the operator knows the certificate's Secret): the certificate covers the domain
	// and is in date.
	ConditionCertificateReady = "CertificateReady"
	// ConditionConnected (positive): pushes come that are WeChat's, and can be read. As this and the two below are what the webhook
	// servers say, they are Unknown where the operator cannot reach a server, and absent where it asks none (--poll-servers=false).
	ConditionConnected = "Connected"
	// ConditionAccountReady (positive, only with wechat.appSecretRef): WeChat's API does what the bot needs.
	ConditionAccountReady = "AccountReady"
	// ConditionMenuPublished (positive, only with menu): followers see the menu.
	ConditionMenuPublished = "MenuPublished"
	// ConditionReconciling (abnormal-true): the bot is on its way to what the spec says.
	ConditionReconciling = "Reconciling"
	// ConditionStalled (abnormal-true): the bot stays as it is until someone changes something.
	ConditionStalled = "Stalled"
	// ConditionSuspended (abnormal-true): spec.suspend is true, nothing is reconciled.
	ConditionSuspended = "Suspended"
)

// Reasons of conditions that are as they should be.
const (
	// ReasonServing is Ready's: followers are answered.
	ReasonServing = "Serving"
	// ReasonStopped is Ready's, and that of the conditions that only a running server can tell: spec.replicas is 0, and no server
	// runs. That is what was asked for, so Ready is True.
	ReasonStopped = "Stopped"
	// ReasonResolved is SecretsResolved's.
	ReasonResolved = "Resolved"
	// ReasonAuthorized is DifyReachable's: Dify accepted the key.
	ReasonAuthorized = "Authorized"
	// ReasonStoreReady is SessionStoreReady's.
	ReasonStoreReady = "StoreReady"
	// ReasonPodsReady is Available's.
	ReasonPodsReady = "PodsReady"
	// ReasonAddressAssigned is Exposed's with an Ingress.
	ReasonAddressAssigned = "AddressAssigned"
	// ReasonRouteAccepted is Exposed's with an HTTPRoute.
	ReasonRouteAccepted = "RouteAccepted"
	// ReasonExternallyManaged is Exposed's with ingress.enabled false: the way in is the user's own.
	ReasonExternallyManaged = "ExternallyManaged"
	// ReasonCertificateValid is CertificateReady's.
	ReasonCertificateValid = "CertificateValid"
	// ReasonPushesArrive is Connected's.
	ReasonPushesArrive = "PushesArrive"
	// ReasonAccountUsable is AccountReady's.
	ReasonAccountUsable = "AccountUsable"
	// ReasonPublished is MenuPublished's.
	ReasonPublished = "Published"
)

// Reasons of SecretsResolved when it is False.
const (
	// ReasonSecretNotFound: the Secret does not exist; it is looked for again within 15 s.
	ReasonSecretNotFound = "SecretNotFound"
	// ReasonSecretKeyMissing: the Secret exists, the key does not.
	ReasonSecretKeyMissing = "SecretKeyMissing"
	// ReasonSecretMalformed: what the key holds cannot be right (a Token has 3 to 32 letters and digits, an EncodingAESKey 43).
	ReasonSecretMalformed = "SecretMalformed"
)

// Reasons of DifyReachable when it is not True.
const (
	// ReasonNotChecked (Unknown): Dify was not asked yet, or cannot be without the Secret of the API key. Of the conditions that
	// webhook servers tell: none has said anything yet.
	ReasonNotChecked = "NotChecked"
	// ReasonUnauthorized: Dify refused the API key.
	ReasonUnauthorized = "Unauthorized"
	// ReasonWrongAppMode: the app is not one to chat with, a workflow or a completion app for example.
	ReasonWrongAppMode = "WrongAppMode"
	// ReasonInputsMissing: the app requires variables that dify.inputs lacks, and refuses every question without them.
	ReasonInputsMissing = "InputsMissing"
	// ReasonUnreachable: no answer, or not one of Dify's.
	ReasonUnreachable = "Unreachable"
)

// Reasons of SessionStoreReady when it is not True.
const (
	// ReasonStorePending: the store is not there yet, or no webhook server has said that it answers.
	ReasonStorePending = "StorePending"
	// ReasonRedisProvisioning: the managed Redis is not ready; the message has the volume's or the pod's own reason.
	ReasonRedisProvisioning = "RedisProvisioning"
	// ReasonStoreSwitching: the spec wants another session store than the webhook servers that serve. Conversations are not
	// carried over.
	ReasonStoreSwitching = "StoreSwitching"
	// ReasonRedisUnreachable: the webhook servers run, but say that the Redis does not answer.
	ReasonRedisUnreachable = "RedisUnreachable"
	// ReasonStoreUnavailable: the webhook servers say that the ConfigMaps do not answer.
	ReasonStoreUnavailable = "StoreUnavailable"
)

// Reasons of Available when it is False.
const (
	// ReasonPodsNotReady: not all replicas are ready; the message has the pod's own reason, ImagePullBackOff for example.
	ReasonPodsNotReady = "PodsNotReady"
	// ReasonProgressDeadlineExceeded: the Deployment has given up waiting for its pods.
	ReasonProgressDeadlineExceeded = "ProgressDeadlineExceeded"
)

// Reasons of Exposed when it is False.
const (
	// ReasonAddressPending: the Ingress has no address yet.
	ReasonAddressPending = "AddressPending"
	// ReasonIngressClassNotFound: no such IngressClass, or no default one; it is looked for again within a minute.
	ReasonIngressClassNotFound = "IngressClassNotFound"
	// ReasonRouteNotAccepted: a parent did not accept the HTTPRoute; the message is the parent's.
	ReasonRouteNotAccepted = "RouteNotAccepted"
	// ReasonNoTLSListener: parents accepted the HTTPRoute, but none of their listeners for the domain speaks TLS.
	ReasonNoTLSListener = "NoTLSListener"
	// ReasonGatewayAPIMissing: the cluster does not know HTTPRoutes, or the operator cannot list them; it is looked at again, no restart is needed.
	ReasonGatewayAPIMissing = "GatewayAPIMissing"
	// ReasonDomainConflict: another bot has the same domain and path and keeps it: the one that is exposed there, else the one whose
	// Ingress or HTTPRoute leads there, else the older.
	ReasonDomainConflict = "DomainConflict"
)

// Reasons of CertificateReady when it is False.
const (
	// ReasonCertificatePending: the Secret of the certificate is not there yet.
	ReasonCertificatePending = "CertificatePending"
	// ReasonCertificateMalformed: what the Secret holds is no certificate with its private key.
	ReasonCertificateMalformed = "CertificateMalformed"
	// ReasonCertificateMismatch: the certificate does not cover the domain.
	ReasonCertificateMismatch = "CertificateMismatch"
	// ReasonCertificateExpired: the certificate is out of date.
	ReasonCertificateExpired = "CertificateExpired"
)

// Reasons of Connected, AccountReady and MenuPublished when they are Unknown.
const (
	// ReasonServersUnreachable: the operator cannot reach the webhook servers' admin port.
	ReasonServersUnreachable = "ServersUnreachable"
	// ReasonStatusNotServed: what answers there does not serve a status that this operator knows.
	ReasonStatusNotServed = "StatusNotServed"
)

// Reasons of Connected when it is False.
const (
	// ReasonNoPushYet: nothing has come, so that WeChat's console may not know the URL yet.
	ReasonNoPushYet = "NoPushYet"
	// ReasonSignatureMismatch: what comes is not signed with the Token.
	ReasonSignatureMismatch = "SignatureMismatch"
	// ReasonDecryptionFailed: what comes is signed with the Token, but made with another AppID or EncodingAESKey.
	ReasonDecryptionFailed = "DecryptionFailed"
)

// Reasons of AccountReady when it is False; Unreachable is one of them too.
const (
	// ReasonAppSecretRejected: WeChat does not take the AppSecret, or the AppID.
	ReasonAppSecretRejected = "AppSecretRejected"
	// ReasonAppSecretFrozen: the AppSecret is frozen in the console.
	ReasonAppSecretFrozen = "AppSecretFrozen"
	// ReasonIPNotWhitelisted: the servers' address is not on the account's IP list.
	ReasonIPNotWhitelisted = "IPNotWhitelisted"
	// ReasonQuotaExhausted: the calls of the day are used up.
	ReasonQuotaExhausted = "QuotaExhausted"
	// ReasonNotEntitled: this kind of account may not do what the bot is to do. It is MenuPublished's too.
	ReasonNotEntitled = "NotEntitled"
)

// Reasons of MenuPublished when it is False; NotEntitled is one of them too.
const (
	// ReasonRejected: WeChat refuses the menu.
	ReasonRejected = "Rejected"
	// ReasonDrifted: somebody has changed the menu in WeChat's console.
	ReasonDrifted = "Drifted"
)

// Reasons of the abnormal-true conditions, and of Ready with them.
const (
	// ReasonProgressing is Reconciling's.
	ReasonProgressing = "Progressing"
	// ReasonApplyFailed is Reconciling's, or Stalled's where trying again cannot help: the API server does not take one of the
	// bot's objects, as a quota, an admission policy or missing rights forbid it.
	ReasonApplyFailed = "ApplyFailed"
	// ReasonInvalidSpec is Stalled's: the webhook server would refuse the configuration that comes of the spec.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonInvalidPodTemplate is Stalled's: spec.podTemplate cannot be merged, or the API server refuses what comes of it.
	ReasonInvalidPodTemplate = "InvalidPodTemplate"
	// ReasonNameConflict is Stalled's: an object with the name of one of the bot's children exists and is not the bot's.
	ReasonNameConflict = "NameConflict"
	// ReasonObjectTerminating is Reconciling's: an object with the name of one of the bot's is being deleted; a new one is made
	// when it is gone.
	ReasonObjectTerminating = "ObjectTerminating"
	// ReasonFieldsOverridden is Reconciling's: somebody keeps changing what the operator writes into the bot's objects, an
	// autoscaler of the Deployment or an admission policy for example.
	ReasonFieldsOverridden = "FieldsOverridden"
	// ReasonSuspended is Suspended's, and Ready's, which is True with it: to be left alone is what was asked for.
	ReasonSuspended = "Suspended"
)
