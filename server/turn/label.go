package turn

// labelled is what stands below a part of an answer, with the line that says that AI has made it. What is pushed has the
// channel's own.
func (s *Settings) labelled(foot string) string {
	switch {
	case s.AILabel == "":
		return foot
	case foot == "":
		return s.AILabel
	default:
		return s.AILabel + "\n" + foot
	}
}
