package trace

// Known is how many turns are kept in mind.
func (t *Tracer) Known() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.known)
}
