package difysim

import (
	"cmp"
	"math"
	"slices"
	"time"
	"unicode/utf8"
)

// Names and order of the members below are those of the recordings.

// beforeTool is what the model says before it calls a tool: streamed, and part of the stored answer.
const beforeTool = "我需要先查询一下。"

// toolDeltas is how many deltas beforeTool comes in, the empty one included.
const toolDeltas = 4

// common gives the members that begin every event of a chat.
func (r *run) common(event string, withTask bool) object {
	o := make(object, 0, 12)
	o = append(o, member{"event", event}, member{"conversation_id", r.conversation}, member{"message_id", r.message},
		member{"created_at", r.started.Unix()})
	if withTask {
		o = append(o, member{"task_id", r.task})
	}
	return o
}

// prepareDelta makes what all deltas of the run have in common.
func (r *run) prepareDelta() {
	name, selector := "message", any(nil)
	old := r.server.options.Release == V0_6_5
	switch r.server.options.Mode {
	case Agent:
		name = "agent_message"
	case Chatflow:
		selector = list{"llm", "text"}
	case Chat:
		if r.server.options.Release == V1_12_1 && len(r.question.Files) > 0 {
			name = "message_file" // a defect of 1.11.2 to 1.12.1
		}
	}
	r.head = append(r.head, "data: "...)
	r.head = r.style.open(r.head, append(r.common(name, true), member{"id", r.message}))
	r.head = append(r.head, r.style.comma+`"answer"`+r.style.colon...)
	r.tail = "}"
	if !old && name != "agent_message" {
		r.tail = r.style.comma + `"from_variable_selector"` + r.style.colon + string(r.style.append(nil, selector)) + "}"
	}
}

func (r *run) errorEvent(code string, status int, message string) object {
	return append(r.common("error", false), member{"code", code}, member{"status", status}, member{"message", message})
}

func (r *run) messageReplace(answer string) object {
	o := append(r.common("message_replace", true), member{"answer", answer})
	if r.server.options.Release == V0_6_5 {
		return o
	}
	reason := ""
	if r.server.options.Mode == Chatflow {
		reason = "output_moderation"
	}
	return append(o, member{"reason", reason})
}

func (r *run) messageEnd(answer string) object {
	o := append(r.common("message_end", true), member{"id", r.message}, member{"metadata", r.metadata(answer)})
	switch {
	case r.server.options.Release == V0_6_5:
		return o
	case r.server.options.Mode == Chatflow:
		return append(o, member{"files", filesOfNodes(r.files)})
	}
	return append(o, member{"files", r.questionFiles()})
}

// questionFiles lists the question's own files again, which since 1.13 message_end of a chat does.
func (r *run) questionFiles() any {
	if r.server.options.Release != V1_13_3 && r.server.options.Release != V1_14_2 || r.server.options.Mode != Chat || len(r.question.Files) == 0 {
		return nil
	}
	files := make(list, len(r.question.Files))
	for i, f := range r.question.Files {
		files[i] = object{
			{"related_id", newID()}, {"extension", ".png"}, {"filename", "a.png"}, {"size", 8}, {"mime_type", "image/png"},
			{"transfer_method", f.TransferMethod}, {"type", f.Type}, {"url", cmp.Or(f.URL, "/files/"+f.UploadFileID)},
			{"upload_file_id", f.UploadFileID}, {"remote_url", f.URL},
		}
	}
	return files
}

func (r *run) metadata(answer string) object {
	usage := member{"usage", r.usage(answer, r.server.options.Mode == Chatflow)}
	resources := list{}
	for i, name := range r.behaviour.Sources {
		resources = append(resources, object{{"position", i + 1}, {"document_name", name}, {"content", "…"}, {"score", 0.9}})
	}
	if r.behaviour.Fault.Kind == NotANumber {
		resources = list{object{{"position", 1}, {"document_name", "手册"}, {"score", math.NaN()}}, object{{"score", math.Inf(-1)}}}
	}
	if r.server.options.Release == V0_6_5 {
		if len(resources) > 0 {
			return object{{"retriever_resources", resources}, usage}
		}
		return object{usage}
	}
	return object{{"annotation_reply", nil}, {"retriever_resources", resources}, usage}
}

// usage counts a token a character; an empty answer of a stopped run cost nothing.
func (r *run) usage(answer string, timed bool) object {
	prompt, completion := utf8.RuneCountInString(r.question.Query)+10, utf8.RuneCountInString(answer)
	if r.plan != nil && r.plan.outcome == Stopped {
		prompt = 0
	}
	unit, price := "0.0", "0.0"
	if r.server.options.Release == V0_6_5 {
		unit, price = "0", "0.0000000"
	}
	o := object{
		{"prompt_tokens", prompt}, {"prompt_unit_price", unit}, {"prompt_price_unit", unit}, {"prompt_price", price},
		{"completion_tokens", completion}, {"completion_unit_price", unit}, {"completion_price_unit", unit},
		{"completion_price", price}, {"total_tokens", prompt + completion}, {"total_price", price},
		{"currency", "USD"}, {"latency", r.elapsed().Seconds()},
	}
	if r.server.options.Release == V0_6_5 {
		return o
	}
	var first, generate any
	if timed {
		first, generate = r.behaviour.FirstText.Seconds(), (r.elapsed() - r.behaviour.FirstText).Seconds()
	}
	return append(o, member{"time_to_first_token", first}, member{"time_to_generate", generate})
}

// planOpening has what comes before the text.
func (r *run) planOpening(p *plan) {
	switch r.server.options.Mode {
	case Chatflow:
		r.openWorkflow(p)
	case Agent:
		r.openAgent(p)
	case Chat:
	}
}

// planEnd has what comes after the text of a run that succeeds.
func (r *run) planEnd(p *plan) {
	at, answer := p.total, p.answer
	end := step{at: at, event: func() object { return r.messageEnd(answer) }}
	var replaced []step
	if r.behaviour.Fault.Kind == Replace {
		text := r.behaviour.Fault.Text
		if text == "" {
			text = moderated
		}
		p.stored.answer = text
		replaced = []step{{at: at, event: func() object { return r.messageReplace(text) }}}
	}
	files := r.planFiles(p)
	switch r.server.options.Mode {
	case Chat:
		p.end = slices.Concat(files, replaced, []step{end})
	case Agent:
		p.end = slices.Concat(r.lastThought(at, answer), files, replaced, []step{end})
	case Chatflow:
		nodes, finished := r.finishedWorkflow(at, answer)
		if r.relayed {
			p.end = slices.Concat(nodes, replaced, []step{end, finished})
		} else {
			p.end = slices.Concat(nodes, []step{finished}, replaced, []step{end})
		}
	}
}

// openAgent has the first thought, and with a tool what precedes and follows its call. In the old release, whose
// agents answer in one piece, the thought is complete from the start.
func (r *run) openAgent(p *plan) {
	first := r.behaviour.FirstText
	id, thought := newID(), ""
	r.thought = id
	if r.server.options.Release == V0_6_5 && !r.usesTool() {
		thought = p.answer
		p.open = []step{{at: first, event: func() object { return r.agentThought(id, 1, thought, "", "") }}}
		return
	}
	p.open = []step{{event: func() object { return r.agentThought(id, 1, "", "", "") }}}
	if !r.usesTool() {
		return
	}
	tool, result := r.behaviour.Tool, `{"`+r.behaviour.Tool+`": "查询成功"}`
	for _, text := range append(split(beforeTool, toolDeltas-1), "") {
		p.open = append(p.open, step{at: first, text: text})
	}
	r.thought = newID()
	next := r.thought
	p.open = append(p.open,
		step{at: first, event: func() object { return r.agentThought(id, 1, beforeTool, tool, "") }},
		step{at: first, event: func() object { return r.agentThought(id, 1, beforeTool, tool, result) }},
		step{at: first, event: func() object { return r.agentThought(next, 2, "", "", "") }})
}

// lastThought repeats the answer as a thought, where the recordings do.
func (r *run) lastThought(at time.Duration, answer string) []step {
	id, position := r.thought, 1
	switch {
	case r.usesTool():
		position, answer = 2, answer[len(beforeTool)+1:]
	case r.server.options.Release != V0_6_5:
		return nil
	}
	return []step{{at: at, event: func() object { return r.agentThought(id, position, answer, "", "") }}}
}

func (r *run) agentThought(id string, position int, thought, tool, observation string) object {
	labels, input := object{}, ""
	if tool != "" {
		labels = object{{tool, object{{"zh_Hans", "查询"}, {"en_US", "Query"}, {"pt_BR", "Query"}, {"ja_JP", "Query"}}}}
		input = `{"` + tool + `": {}}`
	}
	return append(r.common("agent_thought", true), member{"id", id}, member{"position", position},
		member{"thought", thought}, member{"observation", observation}, member{"tool", tool},
		member{"tool_labels", labels}, member{"tool_input", input}, member{"message_files", list{}})
}
