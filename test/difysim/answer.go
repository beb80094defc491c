package difysim

import (
	"strings"
	"unicode/utf8"
)

const (
	// maxDeltas bounds the deltas of one answer, whatever its length, so that long answers cost no more writes.
	maxDeltas = 60
	// deltaRunes is the usual length of a recorded delta of Chinese text.
	deltaRunes = 4
	// echoedRunes is how much of a question its echo quotes.
	echoedRunes = 1000
	// maxLength bounds Behaviour.Length.
	maxLength = 1 << 20
)

// filler is what answers of a wanted length are made of.
const filler = "您好，这里是测试用的回答。我们已经收到您的问题，正在为您查询相关的资料。" +
	"请您确认订单号码和收货地址，以便我们尽快处理。如果商品有质量问题，七天之内可以申请退货。" +
	"运费由商家承担，退款会在三个工作日之内原路返回。会员可以享受优先发货的服务。" +
	"营业时间是每天上午九点到晚上九点，节假日照常营业。感谢您的耐心等待，祝您生活愉快。"

// Echo is the answer of a Behaviour that names none: it quotes the question, so that a test can tell whose answer
// it holds, and goes on with Chinese sentences until it has length characters. A length too small for the
// quotation (0, say) gives one short sentence after it. Questions are quoted up to 1000 characters.
func Echo(query string, length int) string {
	quoted := firstRunes(query, echoedRunes)
	head := "回答「" + quoted + "」："
	rest := length - utf8.RuneCountInString(head)
	if rest <= 0 {
		return head + "您的问题已经收到，这是测试用的回答。"
	}
	var b strings.Builder
	b.Grow(len(head) + 3*rest)
	b.WriteString(head)
	const fillerRunes = len(filler) / 3 // every character of filler has three bytes
	for ; rest > fillerRunes; rest -= fillerRunes {
		b.WriteString(filler)
	}
	b.WriteString(filler[:3*(rest-1)])
	b.WriteString("。")
	return b.String()
}

// thinking wraps reasoning as models write it into their answers.
func thinking(think string) string {
	return "<think>\n" + think + "\n</think>\n\n"
}

// thinkingDeltas splits wrapped reasoning as it was recorded: the tags themselves fall apart.
func thinkingDeltas(think string) []string {
	deltas := []string{"<th", "ink", ">\n"}
	deltas = append(deltas, split(think, maxDeltas/5)...)
	return append(deltas, "\n</th", "ink>\n\n")
}

// split cuts text between characters into pieces of about the same length, and no more than most.
func split(text string, most int) []string {
	runes := utf8.RuneCountInString(text)
	n := min(most, (runes+deltaRunes-1)/deltaRunes)
	pieces := make([]string, 0, n)
	for i := range n {
		head := firstRunes(text, (i+1)*runes/n-i*runes/n)
		pieces = append(pieces, head)
		text = text[len(head):]
	}
	return pieces
}

func firstRunes(text string, n int) string {
	for i := range text {
		if n == 0 {
			return text[:i]
		}
		n--
	}
	return text
}
