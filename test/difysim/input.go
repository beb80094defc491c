package difysim

import "net/http"

// Input is one that the app's form asks for.
type Input struct {
	Variable, Label string
	Kind            string // of the form: text-input (if empty), paragraph, select, number …
	Required        bool
	Default         string
}

func (s *Server) inputForm() list {
	form := list{}
	for _, input := range s.options.Inputs {
		kind := input.Kind
		if kind == "" {
			kind = "text-input"
		}
		form = append(form, object{{kind, object{
			{"label", input.Label}, {"variable", input.Variable}, {"required", input.Required}, {"max_length", 48},
			{"default", input.Default}, {"options", list{}},
		}}})
	}
	return form
}

// lacking refuses a question without an input that the app must have. A worker says nothing: see Server.start.
func (s *Server) lacking(q *Request) *response {
	for _, input := range s.options.Inputs {
		if given, ok := q.Inputs[input.Variable]; input.Required && (!ok || given == nil || given == "") {
			return problem(http.StatusBadRequest, "invalid_param", input.Variable+" is required in input form")
		}
	}
	return nil
}
