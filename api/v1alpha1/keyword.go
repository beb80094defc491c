package v1alpha1

// KeywordMatch says where in a message a word stands.
//
// +kubebuilder:validation:Enum=Exact;Prefix;Contains
type KeywordMatch string

// The matches.
const (
	MatchExact    KeywordMatch = "Exact"
	MatchPrefix   KeywordMatch = "Prefix"
	MatchContains KeywordMatch = "Contains"
)

// Keyword is what the bot does when a follower writes one of some words.
//
// +kubebuilder:validation:XValidation:rule=`[has(self.question), has(self.reply), has(self.command), has(self.handover)].filter(x, x).size() == 1`,message="give exactly one of question, reply, command and handover"
type Keyword struct {
	// words are 1 to 20, each of 1 to 60 bytes; letters count in any case.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=20
	Words []Word `json:"words"`

	// match is where a word stands: Exact (it is the whole message), Prefix (the
	// message begins with it) or Contains. Default Exact.
	// +optional
	Match KeywordMatch `json:"match,omitempty"`

	// question is asked instead of what was written; at most 600 bytes.
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

	// handover asks for a person, as the words of spec.handover do: true.
	// +optional
	// +kubebuilder:validation:XValidation:rule=`self`,message="set handover to true, or leave it out"
	Handover bool `json:"handover,omitempty"`
}

// Word is what a follower writes.
//
// +kubebuilder:validation:MaxLength=60
// +kubebuilder:validation:XValidation:rule=`bytes(self).size() <= 60 && self.matches('^[^/／\\s\\v\\p{Z}\\x{85}]([^\\r\\n]*[^\\s\\v\\p{Z}\\x{85}])?$')`,message="a word has 1 to 60 bytes in one line, no slash in front and no blanks around it"
type Word string
