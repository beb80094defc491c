package difysim

import (
	"time"
)

const (
	formLife    = 24 * time.Hour
	usualForm   = "请确认退款"
	pausedNode  = "hitl"
	pausedTitle = "人工审核"
)

// planPause ends a workflow's plan where it waits for a person: without an end of the message.
func (r *run) planPause(p *plan) {
	if r.server.options.Mode != Chatflow || r.server.options.Release == V0_6_5 {
		return
	}
	r.form = newID()
	p.outcome, p.hold = Paused, 0
	p.stored.status = "paused"
	at := p.total
	p.end = []step{
		{at: at, event: r.pausedNodeStarted},
		{at: at, event: func() object {
			r.server.askFor(r)
			return r.workflowEvent("human_input_required", r.formData())
		}},
		{at: at, event: r.workflowPaused},
	}
}

func (r *run) pausedNodeStarted() object {
	return r.workflowEvent("node_started", object{
		{"id", newID()}, {"node_id", pausedNode}, {"node_type", "human-input"}, {"title", pausedTitle}, {"index", 1},
		{"predecessor_node_id", nil}, {"inputs", nil}, {"inputs_truncated", false}, {"created_at", time.Now().Unix()},
		{"extras", object{}}, {"iteration_id", nil}, {"loop_id", nil}, {"agent_strategy", nil},
	})
}

// form is what the person is asked.
func (r *run) formData() object {
	var token any
	if !r.behaviour.form().ByMail {
		token = formToken(r.form)
	}
	return object{
		{"form_id", r.form}, {"node_id", pausedNode}, {"node_title", pausedTitle},
		{"form_content", r.formContent()}, {"inputs", r.formInputs()}, {"actions", r.formActions()},
		{"display_in_ui", true}, {"form_token", token}, {"resolved_default_values", object{}},
		{"expiration_time", r.formExpires().Unix()},
	}
}

func (r *run) workflowPaused() object {
	return r.workflowEvent("workflow_paused", object{
		{"workflow_run_id", r.workflowRun}, {"paused_nodes", list{pausedNode}}, {"outputs", object{}},
		{"reasons", list{append(object{{"TYPE", "human_input_required"}}, r.formData()...)}}, {"status", "paused"},
		{"created_at", r.started.Unix()}, {"elapsed_time", r.elapsed().Seconds()}, {"total_tokens", 0}, {"total_steps", 2},
	})
}
