package turn

import (
	"strconv"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

// widestNumber is as wide as the number of a page gets, as a rule: a wider one makes its page longer by a byte or two.
const widestNumber = " 99/99"

// numbered are the links at the end of a page of a turn that is over, with which page of how many it is. The page starts at
// start, below head bytes; the last one has foot bytes below its text.
func (e *Engine) numbered(s *Settings, t session.Turn, text string, start, head, foot int) string {
	if foot > 0 {
		foot += len(betweenBlocks)
	}
	size := e.PageBytes - len(s.labelled(e.onward(s, t, widestNumber))) - len(betweenBlocks)
	number := 1
	for at := unblanked(text, 0); start > 0; number++ {
		_, at = e.Renderer.Page(text, at, size)
		if at >= start {
			number++
			break
		}
	}
	all := number
	for at, room := start, size-head; ; room, all = size, all+1 {
		if at = unblanked(text, at); len(text)-at <= e.PageBytes-foot && at > start {
			break
		}
		_, at = e.Renderer.Page(text, at, room)
	}
	return s.labelled(e.onward(s, t, " "+strconv.Itoa(number)+"/"+strconv.Itoa(all)))
}
