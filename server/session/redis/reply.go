package redis

import "strconv"

// reply is what a script returns. What is not there, or not what is asked for, is empty.
type reply []any

func (l reply) at(i int) any {
	if i >= len(l) {
		return nil
	}
	return l[i]
}

func (l reply) text(i int) string {
	s, _ := l.at(i).(string)
	return s
}

func (l reply) int(i int) int64 {
	switch v := l.at(i).(type) {
	case int64:
		return v
	case string:
		return number(v)
	}
	return 0
}

func (l reply) list(i int) reply {
	v, _ := l.at(i).([]any)
	return v
}

// number reads a number that a script has written as text; what is none is 0.
func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}
