package demo

import (
	"strings"
	"unicode/utf8"
)

// accountName is the Official Account that the demo's visitor talks to: a bookshop with a clerk that is a Dify app.
const accountName = "山脚书店"

const opening = "您好，欢迎来到山脚书店！我是 AI 店员，营业时间、会员、配送、退换，或者挑一本书，都可以直接问我。"

var suggested = []string{"周末几点开门？", "推荐一本适合冬天读的书", "会员有什么优惠？"}

// suggestedNext is what the stand-in suggests after every answer.
var suggestedNext = []string{"会员怎么办？", "能寄到外地吗？"}

// topic is something that the clerk knows about.
type topic struct {
	words []string
	text  string
}

var topics = []topic{
	{
		[]string{"几点", "营业", "开门", "关门", "周末", "地址", "在哪"},
		"书店每天上午十点开门，平日营业到晚上九点，周五和周末延长到十点半。法定节假日照常营业，只有除夕下午提前到三点打烊。" +
			"一楼的咖啡吧比书店早半小时开门，赶早的话可以先进来坐坐。地址是青石巷 18 号，地铁 4 号线青石站 B 口出来走六分钟，路口有一棵很大的银杏。",
	},
	{
		[]string{"推荐", "好书", "读什么", "小说", "冬天"},
		"冬天很适合读节奏慢一点的书。如果喜欢散文，可以从汪曾祺的《人间草木》开始，一篇三五页，睡前读正好。" +
			"如果想读长篇，《额尔古纳河右岸》写雪原和驯鹿，屋里暖和的时候读最有味道。两本店里都有现货，在二楼靠窗的“冬日书架”。",
	},
	{
		[]string{"会员", "优惠", "打折", "积分", "便宜"},
		"会员一年 68 元，买书一律八八折，咖啡第二杯半价，生日当月另送一张 30 元的书券。每消费一元积一分，五百分可以换一只帆布袋。" +
			"在柜台报手机号就能办，当天就可以用。学生和老师凭证件办卡减 20 元。",
	},
	{
		[]string{"配送", "快递", "发货", "运费", "寄"},
		"同城满 99 元免运费，下午四点以前下单当天送到，其余时间次日上午送到。外地发快递，一般两到三天，偏远地区五天左右。" +
			"书都用硬纸盒和气泡纸包好，角碰坏了拍张照片就可以换。",
	},
	{
		[]string{"退", "换", "质量", "破损"},
		"没有拆封的书，七天之内凭小票可以退换；印刷或装订有问题的，不限时间，随时给您换新。" +
			"网上买的书也可以拿到店里来退，不用自己寄。退款原路返回，一般三个工作日到账。",
	},
	{
		[]string{"活动", "讲座", "签售", "儿童", "孩子", "绘本"},
		"每周六下午三点有儿童绘本时间，四到八岁都可以来，免费，但是座位只有二十个，请提前在柜台登记。" +
			"每月最后一个周五晚上是读书会，这个月读的是《夜航西飞》，带不带书都欢迎。",
	},
	{
		[]string{"咖啡", "喝", "吃", "座位", "插座", "停车", "包场"},
		"咖啡吧有手冲、拿铁和热巧克力，冬天还有桂花酒酿。二楼有三十来个座位，每张长桌都有插座，不限时，点一杯就可以坐一下午。" +
			"门口没有停车位，请停到巷口的地下车库，消费满 50 元可以抵两小时停车费。",
	},
}

const unknown = "这个问题我先按店里的一般规定来回答，拿不准的地方，柜台的同事会再跟您确认。您也可以打 0571-0000-0018 找店长，上午十点到晚上九点都有人接。"

// answer is what the clerk says to a question, in about length characters: what is asked for first, then what else there is to know.
func answer(question string, length int) string {
	first := -1
	for i, t := range topics {
		if t.about(question) {
			first = i
			break
		}
	}
	var b strings.Builder
	if first < 0 {
		b.WriteString(unknown)
	} else {
		b.WriteString(topics[first].text)
	}
	for i, n := first+1, utf8.RuneCountInString(b.String()); n < length; i++ {
		more := topics[i%len(topics)].text
		b.WriteString("\n\n")
		b.WriteString(more)
		n += 2 + utf8.RuneCountInString(more)
	}
	return firstSentences(b.String(), length)
}

func (t topic) about(question string) bool {
	for _, w := range t.words {
		if strings.Contains(question, w) {
			return true
		}
	}
	return false
}

// firstSentences cuts text after the last sentence that ends within length characters, or within the first one if that is longer.
func firstSentences(text string, length int) string {
	n, end := 0, 0
	for i, r := range text {
		n++
		if n > length {
			if end == 0 {
				end = i
			}
			return text[:end]
		}
		if r == '。' || r == '；' {
			end = i + utf8.RuneLen(r)
		}
	}
	return text
}

const thoughts = "用户问的是书店的事。先看资料库里有没有对应的条目，再用店员的口气回答，不要太长，不要编造没有的活动。"

const markdownAnswer = `## 冬日书单

按**读的时间**给您分了三类，价格是会员价：

| 书名 | 适合 | 会员价 |
|---|---|---|
| 人间草木 | 睡前十分钟 | 34 元 |
| 额尔古纳河右岸 | 一个周末 | 41 元 |
| 夜航西飞 | 长途火车上 | 38 元 |

### 怎么买

1. 到店：二楼靠窗的 *冬日书架*
2. 网上：打开[山脚书店的书架](https://example.com/shelf)
3. 电话预留：

` + "```" + `
0571-0000-0018
` + "```" + `

- [x] 三本都有现货
- [ ] 毛边本要等到下周

> 会员当天可以用积分抵十元。
`
