package v1alpha1

// Handover lets followers ask for a person of the account's customer service.
type Handover struct {
	// words ask for a person when a follower sends one of them; 1 to 8 words of at
	// most 30 bytes. Default ["人工", "转人工"].
	// +optional
	// +listType=atomic
	// +kubebuilder:default={"人工","转人工"}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Words []HandoverWord `json:"words,omitempty"`

	// offline is said when nobody is online, for example 客服时间是 9 点到 18 点。; at most
	// 2000 bytes. Default: that nobody is there, and that the bot goes on.
	// +optional
	// +kubebuilder:validation:MaxLength=2000
	// +kubebuilder:validation:XValidation:rule=`bytes(self).size() <= 2000 && self.matches('[^\\s\\v\\p{Z}\\x{85}]')`,message="the text must not be blank and have at most 2000 bytes (a Chinese character has 3)"
	Offline string `json:"offline,omitempty"`
}

// HandoverWord is what a follower sends to talk to a person.
//
// +kubebuilder:validation:MaxLength=30
// +kubebuilder:validation:XValidation:rule=`bytes(self).size() <= 30 && self.matches('^[^/\\s\\v\\p{Z}\\x{85}]([^\\r\\n]*[^\\s\\v\\p{Z}\\x{85}])?$')`,message="a word has 1 to 30 bytes, no slash in front and no blanks around it"
type HandoverWord string
