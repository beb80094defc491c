// Package chaos kills what a bot stands on while followers chat with it: server processes, the session store, the way
// to the store, Dify's streams. Everything but WeChat and Dify is real: cmd/server as processes, redis-server, the API
// server of Kubernetes, TCP between them. What the followers were shown and what Dify was asked decides; the judge
// reads no state of the product.
//
// Of a bot that pushes its answers nothing may come twice that nobody has asked for, whatever becomes of WeChat's answers to sends.
//
// It has tests only, behind the build tag chaos: `make chaos` runs them, CHAOS_SEED repeats a run's schedule. CHAOS_QUESTIONS=200 makes
// the run with pushed answers (RUN=Push) one of few followers; 2,000 questions are usual.
package chaos
