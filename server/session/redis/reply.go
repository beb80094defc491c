package redis

import (
	"strconv"
	"strings"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// list is what a script returns. What is not there, or not what is asked for, is empty.
type list []any

func (l list) at(i int) any {
	if i >= len(l) {
		return nil
	}
	return l[i]
}

func (l list) text(i int) string {
	s, _ := l.at(i).(string)
	return s
}

func (l list) int(i int) int {
	n, _ := l.at(i).(int64)
	return int(n)
}

func (l list) list(i int) list {
	v, _ := l.at(i).([]any)
	return v
}

// number reads a number that a script has written as text; what is none is 0.
func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// moment reads a time; 0 is none.
func moment(s string) time.Time {
	if us := number(s); us > 0 {
		return time.UnixMicro(us)
	}
	return time.Time{}
}

// Checksums are opaque to the scripts, which have no integers of 64 bits.
const sumBase = 36

func formatSum(sum uint64) string { return strconv.FormatUint(sum, sumBase) }

func parseSum(s string) uint64 {
	sum, _ := strconv.ParseUint(s, sumBase, 64)
	return sum
}

// told is the code of a turn in a row that is over and whose end the follower has got.
const told = 't'

// row is the follower's turns, oldest first, as the scripts keep them: of each a code, two bytes of length, the ID.
type row string

// next returns the first turn of the row and the rest of it.
func (r row) next() (code byte, id string, rest row) {
	end := min(3+int(r[1])<<8+int(r[2]), len(r))
	return r[0], string(r[3:end]), r[end:]
}

// valid tells whether there is a turn in the row.
func (r row) valid() bool { return len(r) >= 3 }

// find returns the code of a turn, 0 if it is not there, and how many others are open, or over and not told.
func (r row) find(id string) (code byte, others int) {
	for r.valid() {
		var c byte
		var this string
		c, this, r = r.next()
		switch {
		case this == id:
			code = c
		case c != told:
			others++
		}
	}
	return code, others
}

// setNumbers fills in what a script has written as the turn's numbers.
func setNumbers(t *session.Turn, written string) {
	part := strings.SplitN(written, " ", 8)
	if len(part) < 8 {
		return
	}
	t.State = session.State(number(part[0])) //nolint:gosec // one digit
	t.AcceptedAt = moment(part[1])
	t.Attempts = int(number(part[3]))
	t.FinishedAt = moment(part[4])
	t.Seen = int(number(part[5]))
	t.SeenSum = parseSum(part[6])
	t.Failure = part[7]
}

// turn reads a turn's copy: ID, code, numbers, question, partial, answer, others. The openid is not in it.
func (l list) turn(openid string) session.Turn {
	t := session.Turn{
		Key:      session.Key{Follower: openid, ID: l.text(0)},
		Question: l.text(3), Partial: l.text(4), Answer: l.text(5),
		Told:   l.text(1) == string(told),
		Others: l.int(6),
	}
	setNumbers(&t, l.text(2))
	return t
}

// gone is what the store has to say about a turn that is not there.
func gone(k session.Key, others int) session.Turn {
	return session.Turn{Key: k, State: session.Cancelled, Others: others}
}

// snapshot reads a follower's fields.
func snapshot(openid string, fields map[string]string) session.Session {
	have := session.Session{ConversationID: fields["C"], LastActive: moment(fields["S"])}
	all := row(fields["U"])
	for rest := all; rest.valid(); {
		var t session.Turn
		var code byte
		code, t.Key.ID, rest = rest.next()
		id := t.Key.ID
		t.Key.Follower = openid
		t.Question, t.Partial, t.Answer, t.Told = fields["q"+id], fields["p"+id], fields["a"+id], code == told
		setNumbers(&t, fields["t"+id])
		have.Turns = append(have.Turns, t)
	}
	untold := 0
	for i := range have.Turns {
		if !have.Turns[i].Told {
			untold++
		}
	}
	for i := range have.Turns {
		have.Turns[i].Others = untold
		if !have.Turns[i].Told {
			have.Turns[i].Others--
		}
	}
	return have
}

// writeReceipt writes a receipt, but for the message it is found by.
func writeReceipt(r *session.Receipt) string {
	end := "0"
	if r.Told {
		end = "1"
	}
	return strings.Join([]string{
		strconv.Itoa(r.From), strconv.Itoa(r.To), formatSum(r.FromSum), formatSum(r.Sum), end, r.Turn,
	}, " ")
}

// readReceipt reads the receipt of a message; nil if there is none.
func readReceipt(message, written string) *session.Receipt {
	part := strings.SplitN(written, " ", 6)
	if len(part) < 6 {
		return nil
	}
	return &session.Receipt{
		Message: message, Turn: part[5],
		From: int(number(part[0])), To: int(number(part[1])),
		FromSum: parseSum(part[2]), Sum: parseSum(part[3]),
		Told: part[4] == "1",
	}
}
