// Package difysim is a stand-in for Dify's service API, for tests, benchmarks and demonstrations. It is never
// part of a production binary.
//
// It speaks as real Dify releases were recorded to speak (testdata/dify): framing, order and members of the
// events, JSON style, error bodies, conversation rules, and their defects. Answers come at the pace that a
// Behaviour orders, and Faults order what goes wrong. It judges clients, so it shares no code with them.
//
// A stream costs one timer and the handler's goroutine. What it remembers is bounded: the latest calls, and the
// latest conversations by their size. Time is taken from package time only, so that it runs inside a
// testing/synctest bubble when it is driven through Transport.
//
// Known simplifications: a stop takes effect at once (Dify: within a second); a chat client that goes away frees
// its slot of MaxActiveRequests at once (Dify: within ten minutes); agent_thoughts of stored messages are empty.
package difysim
