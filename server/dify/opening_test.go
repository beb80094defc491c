package dify_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wechatbot/wechatbot-operator/server/dify"
)

func TestVariablesInTheOpening(t *testing.T) {
	form := []dify.Input{{Variable: "name", Default: "朋友"}, {Variable: "vip"}}
	inputs := map[string]string{"name": "小明", "empty": "", "tricky": "{{name}}", "weird name": "x"}
	for in, want := range map[string]string{
		"你好，{{name}}！你的会员号是 {{vip}}。": "你好，小明！你的会员号是 {{vip}}。",
		"Hi {{ name }}":    "Hi 小明",
		"{{name}}{{name}}": "小明小明",
		"{{{name}}}":       "{小明}",
		"{{name":           "{{name",
		"name}}":           "name}}",
		"{{}} {{ }} {} {":  "{{}} {{ }} {} {",
		"{{empty}}|":       "|",
		"{{tricky}}":       "{{name}}", // a value is not looked through
		"{{weird name}}":   "x",
		"{{#sys.query#}}":  "{{#sys.query#}}",
		"{{other {{name}}": "{{other 小明",
		"":                 "",
		"没有变量":             "没有变量",
		"{ {name} }":       "{ {name} }",
	} {
		p := dify.Parameters{OpeningStatement: in, SuggestedQuestions: []string{in, "怎么退货"}, Inputs: form}
		before := p.SuggestedQuestions[0]
		got := p.Filled(inputs)
		if got.OpeningStatement != want || got.SuggestedQuestions[0] != want || got.SuggestedQuestions[1] != "怎么退货" {
			t.Errorf("%q: %q, %q", in, got.OpeningStatement, got.SuggestedQuestions)
		}
		if p.SuggestedQuestions[0] != before {
			t.Errorf("%q: the settings were changed", in)
		}
	}
	if got := (dify.Parameters{OpeningStatement: "{{name}}", Inputs: form}).Filled(nil).OpeningStatement; got != "朋友" {
		t.Errorf("without a value: %q, want the form's default", got)
	}
	rapid.Check(t, func(t *rapid.T) { // what has no variable that is known stays
		in := strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"{{", "}}", "{", "}", "x", "名", " "})).Draw(t, "in"), "")
		if got := (dify.Parameters{OpeningStatement: in}).Filled(map[string]string{"none": "y"}).OpeningStatement; got != in {
			t.Fatalf("%q became %q", in, got)
		}
	})
}

func TestReportedOpenings(t *testing.T) {
	var rows []struct {
		ID         string
		Parameters struct {
			Opening   string   `json:"opening_statement"`
			Questions []string `json:"suggested_questions"`
		}
		Inputs  map[string]string `json:"config_inputs"`
		Must    []string
		MustNot []string `json:"must_not"`
	}
	if err := json.Unmarshal(fixture(t, "config/opening-variables.json"), &rows); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		p := dify.Parameters{OpeningStatement: row.Parameters.Opening, SuggestedQuestions: row.Parameters.Questions}.Filled(row.Inputs)
		shown := p.OpeningStatement + "\n" + strings.Join(p.SuggestedQuestions, "\n")
		for _, must := range row.Must {
			if !strings.Contains(shown, must) {
				t.Errorf("%s: %q lacks %q", row.ID, shown, must)
			}
		}
		for _, not := range row.MustNot {
			if strings.Contains(shown, not) {
				t.Errorf("%s: %q has %q", row.ID, shown, not)
			}
		}
	}
}

func TestWhatAnswersButIsNotDify(t *testing.T) {
	for name, body := range map[string]string{
		"an object of its own":   `{"ok":true}`,
		"nothing":                `{}`,
		"another API's error":    `{"error":{"message":"not found"}}`,
		"an app without a name":  `{"name":"","mode":"chat"}`,
		"a name of another type": `{"name":5,"user_input":[]}`,
		"a list":                 `[{"name":"x","user_input_form":[]}]`,
		"null":                   `null`,
		"a health check":         `{"status":"UP","components":{}}`,
	} {
		c := clientOf(t, answering(body))
		_, info := c.Info(t.Context())
		_, parameters := c.Parameters(t.Context())
		for op, err := range map[string]error{"info": info, "parameters": parameters} {
			if dify.KindOf(err) != dify.BadResponse {
				t.Errorf("%s, %s: error %v", name, op, err)
			}
		}
	}
	for name, body := range map[string]string{
		"0.6.5": string(fixture(t, "responses/0.6.5/info.200.json")), "1.13.3": string(fixture(t, "responses/1.13.3/info.200.json")),
		"more than is known": `{"later":[NaN,{"x":1}],"name":"a","mode":"agent"}`,
	} {
		if i, err := clientOf(t, answering(body)).Info(t.Context()); err != nil || i.Name == "" {
			t.Errorf("%s: %+v, %v", name, i, err)
		}
	}
	want := dify.Parameters{OpeningStatement: "你好", Inputs: []dify.Input{{Type: "number", Variable: "n", Default: "true", Required: true}}}
	got, err := clientOf(t, answering(`{"opening_statement":"你好","user_input_form":[{"number":{"variable":"n","default":true,"required":true,"max_length":NaN}},{},5,{"x":{}}],"system_parameters":{"x":Infinity}}`)).Parameters(t.Context())
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v (-want +got)\n%s", err, d)
	}
}
