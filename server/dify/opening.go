package dify

import "strings"

// Filled replaces the variables in the opening statement and the suggested questions by these inputs, or by the defaults
// of the form. A variable is {{name}}, with optional blanks around the name. As in Dify's own pages, one without a value is
// not replaced. Variables in values are not replaced either.
func (p Parameters) Filled(inputs map[string]string) Parameters {
	value := func(name string) (string, bool) {
		if v, ok := inputs[name]; ok {
			return v, true
		}
		for _, in := range p.Inputs {
			if in.Variable == name && in.Default != "" {
				return in.Default, true
			}
		}
		return "", false
	}
	p.OpeningStatement = fill(p.OpeningStatement, value)
	questions := make([]string, len(p.SuggestedQuestions))
	for i, q := range p.SuggestedQuestions {
		questions[i] = fill(q, value)
	}
	p.SuggestedQuestions = questions
	return p
}

func fill(template string, value func(name string) (string, bool)) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(template, "{{")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		name, after, closed := strings.Cut(rest, "}}")
		v, known := "", false
		if closed {
			v, known = value(strings.TrimSpace(name))
		}
		if known {
			b.WriteString(v)
			template = after
			continue
		}
		b.WriteByte('{') // the second brace may begin another: {{{name}}}
		template = "{" + rest
		if !strings.HasPrefix(rest, "{") {
			b.WriteByte('{')
			template = rest
		}
	}
}
