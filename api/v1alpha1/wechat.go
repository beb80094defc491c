package v1alpha1

// WeChat describes the Official Account.
//
// +kubebuilder:validation:XValidation:rule=`!has(self.encodingAESKeySecretRef) || has(self.appID)`,message="secure mode needs the account's AppID to decrypt and encrypt: set wechat.appID beside wechat.encodingAESKeySecretRef",fieldPath=`.appID`,reason=FieldValueRequired
// +kubebuilder:validation:XValidation:rule=`!has(self.appSecretRef) || has(self.appID)`,message="WeChat's API needs the account's AppID: set wechat.appID beside wechat.appSecretRef",fieldPath=`.appID`,reason=FieldValueRequired
type WeChat struct {
	// appID is the account's AppID (developer ID), for example wx0123456789abcdef:
	// wx and 16 letters or digits. Required with encodingAESKeySecretRef and
	// appSecretRef.
	// +optional
	// +kubebuilder:validation:MaxLength=18
	// +kubebuilder:validation:XValidation:rule=`self.matches('^wx[0-9a-zA-Z]{16}$')`,message="appID must be the account's AppID: wx and 16 letters or digits"
	AppID string `json:"appID,omitempty"`

	// encodingAESKeySecretRef names the Secret key that holds the EncodingAESKey:
	// the 43 letters and digits of the console's server configuration. It turns on
	// secure mode: encrypted pushes are understood, and plain ones refused unless
	// allowPlain is true.
	// +optional
	EncodingAESKeySecretRef *SecretKeyRef `json:"encodingAESKeySecretRef,omitempty"`

	// appSecretRef names the Secret key that holds the AppSecret, for WeChat's API.
	// The pods' public address must be on the account's IP list. Needed for menu,
	// handover, voice messages and reply.mode CustomerService.
	// +optional
	AppSecretRef *SecretKeyRef `json:"appSecretRef,omitempty"`

	// allowPlain accepts plain pushes beside encrypted ones: WeChat's compatible
	// mode, or the minutes of a change to secure mode. Without
	// encodingAESKeySecretRef pushes are plain anyway. Default false.
	// +optional
	AllowPlain bool `json:"allowPlain,omitempty"`

	// originalID is the account's original ID, for example gh_0123456789ab. When
	// set, pushes that are addressed to another account are refused.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule=`self.matches('^gh_[0-9a-zA-Z_-]+$')`,message="originalID must be the account's original ID: gh_ and letters or digits"
	OriginalID string `json:"originalID,omitempty"`

	// verificationFiles are the files with which WeChat checks that the domain is
	// yours, served at the domain's root: file name to content, for example
	// {MP_verify_AbCdEfGhIjKlMnOp.txt: AbCdEfGhIjKlMnOp}. At most 10, each at most
	// 256 characters.
	// +optional
	// +kubebuilder:validation:MaxProperties=10
	// +kubebuilder:validation:XValidation:rule=`self.all(name, name.matches('^MP_verify_[0-9A-Za-z]{16}[.]txt$'))`,message="verificationFiles must be named as WeChat names them: MP_verify_, 16 letters or digits, .txt"
	VerificationFiles map[string]VerificationFile `json:"verificationFiles,omitempty"`
}

// VerificationFile is the content of one of WeChat's domain verification files.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=256
type VerificationFile string
