package difysim

import (
	"math"
	"time"
)

// node is one of the three nodes that the recorded chatflows have.
type node struct {
	index           int
	id, kind, title string
}

var (
	startNode  = &node{0, "start", "start", "开始"}
	llmNode    = &node{1, "llm", "llm", "大模型"}
	answerNode = &node{2, "answer", "answer", "直接回复"}
)

func (r *run) openWorkflow(p *plan) {
	if r.relayed {
		p.open = append(p.open, r.ping())
	}
	p.open = append(p.open,
		step{event: r.workflowStarted},
		step{event: func() object { return r.nodeStarted(startNode) }},
		step{event: r.startFinished},
		step{event: func() object { return r.nodeStarted(llmNode) }})
}

func (r *run) finishedWorkflow(at time.Duration, answer string) (nodes []step, finished step) {
	nodes = r.planBulk(at)
	if nodes == nil {
		nodes = []step{{at: at, event: func() object { return r.llmFinished(answer, "") }}}
	}
	nodes = append(nodes, []step{
		{at: at, event: func() object { return r.nodeStarted(answerNode) }},
		{at: at, event: func() object { return r.answerFinished(answer) }},
	}...)
	return nodes, step{at: at, event: func() object { return r.workflowFinished("succeeded", answer, "") }}
}

// failedWorkflow tells the model's failure; a worker adds no error event.
func (r *run) failedWorkflow(at time.Duration, message string) []step {
	run := message
	if r.server.options.Release == V0_6_5 {
		run = "Node " + llmNode.title + " run failed: " + message
	}
	steps := []step{
		{at: at, event: func() object { return r.llmFinished("", message) }},
		{at: at, event: func() object { return r.workflowFinished("failed", "", run) }},
	}
	if r.relayed {
		return steps
	}
	return append(steps, step{at: at, event: func() object { return r.errorEvent("invalid_param", 400, "Run failed: "+run) }})
}

func (r *run) workflowEvent(name string, data object) object {
	return append(r.common(name, true), member{"workflow_run_id", r.workflowRun}, member{"data", data})
}

// system gives the variables that every chatflow starts with: the question and its user among them.
func (r *run) system(started bool) object {
	conversation := member{"sys.conversation_id", r.conversation}
	if r.server.options.Release == V0_6_5 {
		return object{
			{"sys.query", r.question.Query}, {"sys.files", list{}}, conversation, {"sys.user_id", r.question.User},
		}
	}
	o := object{
		{"sys.files", list{}}, {"sys.user_id", r.question.User}, {"sys.app_id", r.server.app},
		{"sys.workflow_id", r.server.workflow}, {"sys.workflow_run_id", r.workflowRun}, {"sys.query", r.question.Query},
	}
	if started {
		o = append(o, conversation)
	}
	return append(o, member{"sys.dialogue_count", r.turn})
}

func (r *run) withInputs(system object) object {
	return append(sorted(r.question.Inputs), system...)
}

func (r *run) workflowStarted() object {
	data := object{{"id", r.workflowRun}, {"workflow_id", r.server.workflow}}
	if r.server.options.Release == V0_6_5 {
		data = append(data, member{"sequence_number", r.call.Number})
	}
	data = append(data, member{"inputs", r.withInputs(r.system(false))}, member{"created_at", r.started.Unix()})
	if r.relayed {
		data = append(data, member{"reason", "initial"})
	}
	return r.workflowEvent("workflow_started", data)
}

func (r *run) workflowFinished(status, answer, failure string) object {
	old := r.server.options.Release == V0_6_5
	data := object{{"id", r.workflowRun}, {"workflow_id", r.server.workflow}}
	if old {
		data = append(data, member{"sequence_number", r.call.Number})
	}
	var outputs any = object{}
	nodes, tokens, exceptions := 2, 0, 0
	switch {
	case answer != "" || status == "succeeded":
		outputs, nodes, tokens = r.answerOutputs(answer), 3, len(answer)/3
	case old:
		outputs = nil
	}
	if status == "failed" {
		exceptions = 1
	}
	data = append(data, member{"status", status}, member{"outputs", outputs}, member{"error", orNil(failure)},
		member{"elapsed_time", r.elapsed().Seconds()}, member{"total_tokens", tokens}, member{"total_steps", nodes},
		member{"created_by", object{{"id", endUserID(r.server.app, r.question.User)}, {"user", r.question.User}}},
		member{"created_at", r.started.Unix()}, member{"finished_at", time.Now().Unix()})
	if !old {
		data = append(data, member{"exceptions_count", exceptions})
	}
	files := list{}
	if status == "succeeded" && !old {
		files = filesOfNodes(r.files)
	}
	return r.workflowEvent("workflow_finished", append(data, member{"files", files}))
}

func (r *run) answerOutputs(answer string) object {
	if r.server.options.Release == V0_6_5 {
		return object{{"answer", answer}}
	}
	return object{{"answer", answer}, {"files", filesOfNodes(r.files)}}
}

// nodeHead gives the members that the events of a node begin with. Only the old release numbers and links nodes.
func (r *run) nodeHead(n *node) object {
	index, before := 1, any(nil)
	if r.server.options.Release == V0_6_5 {
		index = n.index + 1
		if n.index > 0 {
			before = []*node{startNode, llmNode, answerNode}[n.index-1].id
		}
	}
	return object{
		{"id", r.nodes[n.index]}, {"node_id", n.id}, {"node_type", n.kind}, {"title", n.title}, {"index", index},
		{"predecessor_node_id", before},
	}
}

func (r *run) nodeStarted(n *node) object {
	data := append(r.nodeHead(n), member{"inputs", nil})
	created, extras := member{"created_at", time.Now().Unix()}, member{"extras", object{}}
	if r.server.options.Release == V0_6_5 {
		return r.workflowEvent("node_started", append(data, created, extras))
	}
	return r.workflowEvent("node_started", append(data, member{"inputs_truncated", false}, created, extras,
		member{"iteration_id", nil}, member{"loop_id", nil}, member{"agent_strategy", nil}))
}

// nodeResult is what a finished node says of itself; nil is written as the release writes "nothing".
type nodeResult struct {
	inputs, process, outputs object
	failure                  string
	metadata                 any
}

func (r *run) nodeFinished(n *node, result nodeResult) object {
	old := r.server.options.Release == V0_6_5
	status := "succeeded"
	if result.failure != "" {
		status = "failed"
	}
	orEmpty := func(o object) any {
		if o == nil && old {
			return nil
		}
		return o
	}
	data := r.nodeHead(n)
	for _, part := range []struct {
		name  string
		value object
	}{{"inputs", result.inputs}, {"process_data", result.process}, {"outputs", result.outputs}} {
		data = append(data, member{part.name, orEmpty(part.value)})
		if !old {
			data = append(data, member{part.name + "_truncated", false})
		}
	}
	data = append(data, member{"status", status}, member{"error", orNil(result.failure)},
		member{"elapsed_time", r.elapsed().Seconds()}, member{"execution_metadata", result.metadata},
		member{"created_at", r.started.Unix()}, member{"finished_at", time.Now().Unix()}, member{"files", list{}})
	if !old {
		data = append(data, member{"iteration_id", nil}, member{"loop_id", nil})
	}
	return r.workflowEvent("node_finished", data)
}

func (r *run) startFinished() object {
	variables := r.withInputs(r.system(true))
	return r.nodeFinished(startNode, nodeResult{inputs: variables, outputs: variables})
}

func (r *run) answerFinished(answer string) object {
	return r.nodeFinished(answerNode, nodeResult{outputs: r.answerOutputs(answer)})
}

// llmFinished has the prompts in full, as the service API gives them: the reason why no client may log events.
func (r *run) llmFinished(answer, failure string) object {
	old := r.server.options.Release == V0_6_5
	process := object{{"model_mode", "chat"}, {"prompts", list{
		object{{"role", "system"}, {"text", "你是客服"}, {"files", list{}}},
		object{{"role", "user"}, {"text", r.question.Query}, {"files", list{}}},
	}}}
	if failure != "" {
		if !old {
			process = nil
		}
		return r.nodeFinished(llmNode, nodeResult{process: process, failure: failure})
	}
	usage := r.usage(answer, true)
	if r.behaviour.Fault.Kind == NotANumber {
		process = append(process, member{"scores", list{math.NaN(), math.Inf(1), math.Inf(-1)}})
	}
	outputs := object{{"text", answer}, {"usage", usage}}
	if !old {
		process = append(process, member{"usage", usage}, member{"finish_reason", "stop"},
			member{"model_provider", "langgenius/openai_api_compatible/openai_api_compatible"},
			member{"model_name", "fake-gpt"})
		outputs = object{{"text", answer}, {"reasoning_content", ""}, {"usage", usage}, {"finish_reason", "stop"}}
	}
	return r.nodeFinished(llmNode, nodeResult{
		process: process, outputs: outputs,
		metadata: object{{"total_tokens", len(answer) / 3}, {"total_price", usage[9].value}, {"currency", "USD"}},
	})
}

func orNil(text string) any {
	if text == "" {
		return nil
	}
	return text
}
