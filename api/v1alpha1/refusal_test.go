package v1alpha1_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
)

// valuesQuoted tells whether the API server quotes the value that it refuses. Older ones name its type instead.
var valuesQuoted bool

// quotesValues asks the API server by an object that is refused.
func quotesValues(ctx context.Context) (bool, error) {
	client, err := dynamic.NewForConfig(controlPlane.Config)
	if err != nil {
		return false, fmt.Errorf("making a client: %w", err)
	}
	const value = "Bot.example.com"
	bot := new(unstructured.Unstructured)
	if err := yaml.Unmarshal([]byte(strings.Replace(minimal, "bot.example.com", value, 1)), &bot.Object); err != nil {
		return false, fmt.Errorf("parsing a bot: %w", err)
	}
	_, err = client.Resource(v1alpha1.SchemeGroupVersion.WithResource("wechatbots")).Namespace("default").
		Create(ctx, bot, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err == nil {
		return false, fmt.Errorf("a bot of %s is accepted", value)
	}
	return strings.Contains(err.Error(), `Invalid value: "`+value+`"`), nil
}

var alwaysTheSame = regexp.MustCompile(`^WechatBot\.wechatbot\.dev "[^"]*" is invalid: `)

// refusal is what the API server says of an object, without the part that is always the same.
func refusal(err error) string {
	if err == nil {
		return ""
	}

	return alwaysTheSame.ReplaceAllString(err.Error(), "")
}

// otherThan compares what the API server says of an object with the words that are wanted, those of an API server that
// quotes values, and gives the difference. Of an older one it compares the fields and the sentences of our rules.
func otherThan(want string, err error) string {
	got := refusal(err)
	if !valuesQuoted {
		want, got = sentences(want), sentences(got)
	}

	return cmp.Diff(want, got)
}

var (
	refusedValue = regexp.MustCompile(`Invalid value: (?:(?:"(?:[^"\\]|\\.)*"|null|true|false|-?[0-9.]+): )?`)
	goType       = regexp.MustCompile(`Duplicate value: map\[string\]interface \{\}`)
	tooLong      = regexp.MustCompile(`may not be longer than ([0-9]+)`)
)

// sentences gives a refusal without what depends on the API server's version: the value, and its words for one that is
// listed twice or too long.
func sentences(refusal string) string {
	refusal = refusedValue.ReplaceAllString(refusal, "Invalid value: ")
	refusal = goType.ReplaceAllString(refusal, "Duplicate value: ")

	return tooLong.ReplaceAllString(refusal, "may not be more than $1 bytes")
}

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
