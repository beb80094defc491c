package v1alpha1

// MenuPolicy says what becomes of a menu that somebody changed in WeChat's console.
//
// +kubebuilder:validation:Enum=Report;Enforce
type MenuPolicy string

// The policies.
const (
	MenuReport  MenuPolicy = "Report"
	MenuEnforce MenuPolicy = "Enforce"
)

// MenuButton is a button of the account's menu.
//
// +kubebuilder:validation:XValidation:rule=`[has(self.items), has(self.url), has(self.question), has(self.reply), has(self.command), has(self.miniProgram), has(self.handover)].filter(x, x).size() == 1`,message="give exactly one of items, url, question, reply, command, miniProgram and handover"
type MenuButton struct {
	// name is what the follower reads, 1 to 16 bytes: five Chinese characters.
	// +required
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule=`bytes(self).size() <= 16 && !self.startsWith('/')`,message="a button's name has at most 16 bytes (a Chinese character has 3) and no slash in front"
	Name string `json:"name"`

	// items open above the button: 1 to 5.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=5
	Items []MenuItem `json:"items,omitempty"`

	MenuAction `json:",inline"`
}

// MenuItem is an item of a button.
//
// +kubebuilder:validation:XValidation:rule=`[has(self.url), has(self.question), has(self.reply), has(self.command), has(self.miniProgram), has(self.handover)].filter(x, x).size() == 1`,message="give exactly one of url, question, reply, command, miniProgram and handover"
type MenuItem struct {
	// name is what the follower reads, 1 to 60 bytes; about 24 are shown.
	// +required
	// +kubebuilder:validation:MaxLength=60
	// +kubebuilder:validation:XValidation:rule=`bytes(self).size() <= 60 && !self.startsWith('/')`,message="an item's name has at most 60 bytes (a Chinese character has 3) and no slash in front"
	Name string `json:"name"`

	MenuAction `json:",inline"`
}

// MenuAction is what a button or an item does: one of its fields.
type MenuAction struct {
	// url is opened in WeChat's browser.
	// +optional
	URL MenuURL `json:"url,omitempty"`

	// question is asked as if it were typed; at most 600 bytes.
	// +optional
	// +kubebuilder:validation:MaxLength=600
	// +kubebuilder:validation:XValidation:rule=`bytes(self).size() <= 600`,message="a question has at most 600 bytes (a Chinese character has 3)"
	Question string `json:"question,omitempty"`

	// reply is said without asking the app; at most 2000 bytes.
	// +optional
	// +kubebuilder:validation:MaxLength=2000
	// +kubebuilder:validation:XValidation:rule=`bytes(self).size() <= 2000`,message="a reply has at most 2000 bytes (a Chinese character has 3)"
	Reply string `json:"reply,omitempty"`

	// command is /help, /stop or /clear.
	// +optional
	// +kubebuilder:validation:Enum=/help;/stop;/clear
	Command string `json:"command,omitempty"`

	// miniProgram is opened; the account must be linked to it.
	// +optional
	MiniProgram *MiniProgram `json:"miniProgram,omitempty"`

	// handover asks for a person, as the words of spec.handover do: true.
	// +optional
	// +kubebuilder:validation:XValidation:rule=`self`,message="set handover to true, or leave it out"
	Handover bool `json:"handover,omitempty"`
}

// MenuURL is an address that followers open.
//
// +kubebuilder:validation:MaxLength=1024
// +kubebuilder:validation:XValidation:rule=`self.matches('^https?://[^\\s"<>]+$')`,message="must be like https://example.com/"
type MenuURL string

// MiniProgram is a page of a mini program.
type MiniProgram struct {
	// appID is the mini program's.
	// +required
	// +kubebuilder:validation:MaxLength=64
	AppID string `json:"appID"`

	// path is the page's, for example pages/index.
	// +required
	// +kubebuilder:validation:MaxLength=512
	Path string `json:"path"`

	// url is opened by clients that have no mini programs.
	// +required
	URL MenuURL `json:"url"`
}
