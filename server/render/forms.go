package render

import "strings"

// This file is the table of what models write that no follower is meant to read, their reasoning first of all. The form
// of a new model is one more word or line here, and one more in the tests' list of reasonings.

// reasoningNames are what reasoning is called, in any letter case: as elements, <think> to </think>, and as tokens,
// <|start_thinking|> to <|end_thinking|>, <|begin_of_thought|>, <|think|>, <|reasoning_end|>.
var reasoningNames = names(`think thinking thought thoughts reasoning reflection analysis scratchpad reasoning_scratchpad
	reasoning_content chain_of_thought inner_monologue inner_thought inner_thoughts internal_reasoning internal_thoughts
	thought_process thinking_process deepthink deep_think longcat_think think_fast think_faster think:opensource seed:think
	seed:cot_budget_reflect antthinking ant_thinking antml:thinking mm:think think_block thinking_block`)

// What stands before and behind such a name in a token that begins or ends reasoning.
var (
	startAffixes = [][2]string{{"", ""}, {"begin_of_", ""}, {"start_of_", ""}, {"begin_", ""}, {"start_", ""}, {"", "_begin"}, {"", "_start"}}
	endAffixes   = [][2]string{{"end_of_", ""}, {"end_", ""}, {"/", ""}, {"", "_end"}}
)

// reasoningMarks are other marks that stand around reasoning.
var reasoningMarks = []markPair{
	{"[THINK]", "[/THINK]"},                  // Magistral
	{"◁think▷", "◁/think▷"},                  // Kimi
	{"<|inner_prefix|>", "<|inner_suffix|>"}, // Apertus
	{"<unused94>", "<unused95>"},             // MedGemma
	{"[unused16]", "[unused17]"},             // Pangu
	{"<思考>", "</思考>"},
	{"<思考过程>", "</思考过程>"},
	{"＜think＞", "＜/think＞"},
	{"&lt;think&gt;", "&lt;/think&gt;"}, // escaped on its way
	{"&lt;thinking&gt;", "&lt;/thinking&gt;"},
}

// preambles are the words that reasoning without marks begins and ends with, at the beginning of an answer.
var preambles = []markPair{
	{"analysis", "assistantfinal"},                          // gpt-oss, its tokens lost
	{"Here is my thought process:", "Here is my response:"}, // Granite
	{"Here's my thought process:", "Here's my response:"},
	{"Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"}, // Apriel
}

// Messages of a model that speaks in channels begin with <|channel|>name…<|message|> (gpt-oss), <|channel>name (Gemma) or
// <|think|> (Solar). Only those of answerChannels are for the follower. One of messageEnds ends a message, as the beginning of
// the next one does.
var (
	answerChannels = names("final answer response")
	messageEnds    = names("end return call content")
	// roleTokens are followed by a role's name.
	roleTokens = names("start begin im_start start_header_id start_of_turn turn")
	roles      = names("assistant model system developer user tool")
	// halfTokens have their bar on one side only.
	halfTokens = names("channel turn")
)

// callTags and callMarks stand around calls of tools and the data of citations. Their ends alone mean nothing.
var (
	callTags = names(`invoke tool_call tool_calls tool_response tool_result function_call function_calls antml:function_calls
	minimax:tool_call seed:tool_call grok:render xai:function_call`)
	callMarks = []markPair{
		{"<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"},                 // DeepSeek
		{"<｜DSML｜function_calls>", "</｜DSML｜function_calls>"},          // DeepSeek
		{"<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"}, // Kimi
		{"<|tool_call>", "<tool_call|>"},                               // Gemma
		{"\ue200", "\ue201"},                                           // GPT
	}
)

// answerTags stand around the answer, which is shown without them, as without strayMarks.
var (
	answerTags = names("answer response final final_answer final_response conclusion end_of_turn start_of_turn")
	strayMarks = []string{"<回答>", "</回答>", "[END FINAL RESPONSE]", "[gMASK]", "<sop>", "[unused9]", "[unused10]"}
)

// summaryWords are what the summary of a <details> element begins with that holds reasoning, as Dify 0.15 wrote it.
var summaryWords = []string{
	"thinking", "thought", "reasoning", "reasoned", "chain of thought", "show thinking", "view reasoning",
	"思考", "思维链", "思维过程", "推理过程", "推理中", "深度思考", "已深度思考", "已思考", "正在思考", "查看思考", "展开思考", "点击查看思考", "模型思考", "内心独白",
}

type markPair struct{ open, end string }

// names is the set of the words of list.
func names(list string) map[string]bool {
	set := map[string]bool{}
	for name := range strings.FieldsSeq(list) {
		set[name] = true
	}
	return set
}
