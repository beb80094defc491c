package follower

import (
	"fmt"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

func (p *play) beginSend() string {
	st := p.step()
	h, ok := p.held()
	part := session.Part{To: session.Cursor{At: p.r.IntN(9) + 1, Sum: p.r.Uint64()}, End: p.r.IntN(2) == 0}
	from := session.Cursor{}
	t := p.m.lease
	if ok {
		from = t.cursor
		if p.r.IntN(5) == 0 {
			from.At += 50
		}
	}
	p.say("%v send to %+v, held %v", p.m.now, part, ok)
	if p.mutant == "windows do not count" {
		p.rec.Windows = append(p.rec.Windows, Window{Kind: "x", Opened: 1, Until: st.now.add(time.Hour), Left: 1})
	}
	if p.mutant == "what may have arrived is sent again" && ok {
		p.rec.Find(h.Turn).Sending = session.Part{}
	}
	got, held := st.BeginSend(h, from, part)
	want := session.SendNow
	switch {
	case !ok:
		want = 0
	case from != t.cursor || t.sending != session.NotSending:
		want = session.SendMoved
	case p.m.human > p.m.now || p.m.sendable() == nil:
		want = session.SendNot
	default:
		p.m.sendable().left--
		t.sending, t.to, t.end, t.since = session.Sending, part.To, part.End, p.m.now
	}
	if got != want || held != ok {
		return fmt.Sprintf("send %d, held %v, want %d, %v", got, held, want, ok)
	}
	return ""
}

func (p *play) endSend() string {
	st := p.step()
	h, ok := p.held()
	result := session.SendResult(p.r.IntN(4) + 1)
	p.say("%v sent %d, held %v", p.m.now, result, ok)
	t := p.m.lease
	if got := st.EndSend(h, result); got != ok {
		return fmt.Sprintf("sent %v, want %v", got, ok)
	}
	if !ok || t.sending != session.Sending {
		return ""
	}
	t.sending = session.NotSending
	switch result {
	case session.Sent:
		t.cursor, t.delivered = t.to, t.end && t.state.Over()
		t.sends++
	case session.Uncertain:
		t.sending = session.SendUnknown
	case session.WindowClosed:
		for kind, w := range p.m.windows {
			if w.opened <= t.since {
				delete(p.m.windows, kind)
			}
		}
	case session.Refused:
	}
	t.since = 0
	return ""
}

func (p *play) endPush() string {
	st := p.step()
	h, ok := p.held()
	all := p.r.IntN(2) == 0
	p.say("%v end of push, all %v, held %v", p.m.now, all, ok)
	t := p.m.lease
	ok = ok && t.pushing
	if got := st.EndPush(h, all); got != ok {
		return fmt.Sprintf("end of push %v, want %v", got, ok)
	}
	if ok {
		t.delivered = t.delivered || all
		p.m.stopPushing(t)
	}
	return ""
}
