package envtest

import "testing"

// Two API servers say the same of an object only if they name the same field, and the sentence is the same.
func TestSentences(t *testing.T) {
	for newer, c := range map[string]struct {
		older string
		same  bool
	}{
		`spec.domain: Invalid value: "Bot": write a name`:            {`spec.domain: Invalid value: "string": write a name`, true},
		`spec.domain: Invalid value: "a\"b": write: "a name"`:        {`spec.domain: Invalid value: "string": write: "a name"`, true},
		`spec.wechat: Invalid value: set appID: it is needed`:        {`spec.wechat: Invalid value: "object": set appID: it is needed`, true},
		`spec.flag: Invalid value: false: set it`:                    {`spec.flag: Invalid value: "boolean": set it`, true},
		`[a: Required value, <nil>: Invalid value: null: unchecked]`: {`[a: Required value, <nil>: Invalid value: "null": unchecked]`, true},
		`spec.s[1]: Duplicate value: {"name":"a"}`:                   {`spec.s[1]: Duplicate value: map[string]interface {}{"name":"a"}`, true},
		`spec.path: Too long: may not be more than 16 bytes`:         {`spec.path: Too long: may not be longer than 16`, true},
		`spec.image: Invalid value: "x": write a name`:               {`spec.domain: Invalid value: "string": write a name`, false},
		`spec.image: Invalid value: "y": write a name`:               {`spec.image: Invalid value: "string": write a number`, false},
		`spec.image: Invalid value: write a name`:                    {`spec.image: Required value: write a name`, false},
		`spec.path: Too long: may not be more than 17 bytes`:         {`spec.path: Too long: may not be longer than 16`, false},
	} {
		if same := sentences(newer) == sentences(c.older); same != c.same {
			t.Errorf("%s\n%s\nsay the same: %v, want %v", newer, c.older, same, c.same)
		}
	}
}
