package wechatsim

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/wechat"
)

// Paths of the calls about messages, for Order and Calls.
const (
	SendPath   = "/cgi-bin/message/custom/send"
	TypingPath = "/cgi-bin/message/custom/typing"
)

// sendBody is a message as the call takes it. What is of no use to the follower's view is not read.
type sendBody struct {
	To      string `json:"touser"`
	MsgType string `json:"msgtype"`

	Text  textBody  `json:"text"`
	Image mediaBody `json:"image"`
	Voice mediaBody `json:"voice"`
	Video struct {
		mediaBody

		Thumb       string `json:"thumb_media_id"`
		Title       string `json:"title"`
		Description string `json:"description"`
	} `json:"video"`
	Music struct {
		Title       string `json:"title"`
		Description string `json:"description"`
		URL         string `json:"musicurl"`
		Thumb       string `json:"thumb_media_id"`
	} `json:"music"`
	News struct {
		Articles []struct {
			Title       string `json:"title"`
			Description string `json:"description"`
			URL         string `json:"url"`
			Picture     string `json:"picurl"`
		} `json:"articles"`
	} `json:"news"`
	MPNews  mediaBody `json:"mpnews"`
	Article struct {
		ID string `json:"article_id"`
	} `json:"mpnewsarticle"`
	Menu struct {
		Head string `json:"head_content"`
		List []struct {
			ID      string `json:"id"`
			Content string `json:"content"`
		} `json:"list"`
		Tail string `json:"tail_content"`
	} `json:"msgmenu"`
	Card struct {
		ID string `json:"card_id"`
	} `json:"wxcard"`
	Page struct {
		Title string `json:"title"`
		AppID string `json:"appid"`
		Path  string `json:"pagepath"`
		Thumb string `json:"thumb_media_id"`
	} `json:"miniprogrampage"`

	Service struct {
		Agent string `json:"kf_account"`
	} `json:"customservice"`
	AI struct {
		IsAI int `json:"is_ai_msg"`
	} `json:"aimsgcontext"`
}

type textBody struct {
	Content string `json:"content"`
}

type mediaBody struct {
	ID string `json:"media_id"`
}

// customSend judges a message as WeChat does, and shows it.
func (s *server) customSend(c *call) apiAnswer {
	var m sendBody
	if json.Unmarshal(c.body, &m) != nil {
		s.broke(BadBody)
		return refuse(47001)
	}
	f, code := s.addressed(m.To)
	if code != 0 {
		s.broke(SentToNobody)
		return refuse(code)
	}
	if f.contact.refuses {
		return refuse(48002)
	}
	bubble, code := s.content(&m)
	if code != 0 {
		return refuse(code)
	}
	if s.agents.serving(m.To) {
		s.broke(SentOverAgent)
	}
	if since, ok := f.contact.doubted[string(c.body)]; ok {
		s.broke(SentAgain)
		s.sentAgain = append(s.sentAgain, since)
	}
	now := time.Now()
	switch code := f.contact.spend(now); code {
	case 45015:
		s.broke(SentOutside)
		return refuse(code)
	case 45047:
		s.broke(SentTooMany)
		return refuse(code)
	}
	f.contact.exchange, f.contact.typing = now, time.Time{}
	bubble.At, bubble.From, bubble.Pushed, bubble.AI = now, FromAccount, true, m.AI.IsAI == 1
	if m.Service.Agent != "" {
		bubble.Agent = m.Service.Agent
	}
	f.see(bubble)
	return apiAnswer{shown: &Event{Type: BubbleShown, OpenID: f.openid, Bubble: bubble}}
}

// addressed finds the follower that a call is about.
func (s *server) addressed(openid string) (*Follower, int) {
	f := s.platform.known(openid)
	switch {
	case f == nil:
		return nil, 40003
	case f.contact.gone:
		return nil, 45015
	}
	return f, 0
}

// content makes a message's bubble, or gives the errcode of what is wrong with it.
func (s *server) content(m *sendBody) (Bubble, int) {
	b := Bubble{Type: m.MsgType}
	switch m.MsgType {
	case "text":
		b.Text, b.Links = m.Text.Content, Links(m.Text.Content)
		return b, s.checkText(b.Text)
	case "image":
		b.Text, b.MediaID = "[image]", m.Image.ID
		return b, s.checkMedia(m.Image.ID, "image")
	case "voice":
		b.Text, b.MediaID = "[voice]", m.Voice.ID
		return b, s.checkMedia(m.Voice.ID, "voice")
	case "video":
		b.Text, b.MediaID, b.Description = "[video] "+m.Video.Title, m.Video.ID, m.Video.Description
		if code := s.checkMedia(m.Video.ID, "video"); code != 0 {
			return b, code
		}
		return b, s.checkMedia(m.Video.Thumb, "thumb", "image")
	case "music":
		b.Text, b.Description, b.Links = m.Music.Title, m.Music.Description, []Link{{Label: m.Music.Title, URL: m.Music.URL}}
		return b, s.checkMedia(m.Music.Thumb, "thumb", "image")
	case "news":
		return s.newsBubble(m)
	case "mpnews":
		return b, s.checkMedia(m.MPNews.ID, "news")
	case "mpnewsarticle":
		return b, s.needs(m.Article.ID)
	case "msgmenu":
		return s.menuBubble(m)
	case "wxcard":
		return b, s.needs(m.Card.ID)
	case "miniprogrampage":
		b.Text, b.Links = m.Page.Title, []Link{{Label: m.Page.Title, AppID: m.Page.AppID, Path: m.Page.Path}}
		if code := s.needs(m.Page.Title, m.Page.AppID, m.Page.Path); code != 0 {
			return b, code
		}
		return b, s.checkMedia(m.Page.Thumb, "thumb", "image")
	default:
		s.broke(BadBody)
		return b, 40008
	}
}

func (s *server) checkText(text string) int {
	switch {
	case strings.TrimSpace(text) == "":
		s.broke(BlankText)
		return 44004
	case len(text) > wechat.MaxTextBytes:
		s.broke(LongText)
		return 45002
	}
	return 0
}

// checkMedia wants a media id that is there, of one of the types.
func (s *server) checkMedia(id string, types ...string) int {
	m := s.media.get(id, time.Now())
	if m != nil && slices.Contains(types, m.kind) {
		return 0
	}
	s.broke(BadMedia)
	return 40007
}

// needs wants values that are not empty.
func (s *server) needs(values ...string) int {
	if slices.Contains(values, "") {
		s.broke(BadBody)
		return 47001
	}
	return 0
}

func (s *server) newsBubble(m *sendBody) (Bubble, int) {
	b := Bubble{Type: "news"}
	if len(m.News.Articles) != 1 {
		s.broke(BadBody)
		return b, 45008
	}
	a := m.News.Articles[0]
	b.Text, b.Description, b.Links = a.Title, a.Description, []Link{{Label: a.Title, URL: a.URL}}
	return b, s.needs(a.Title, a.Description, a.URL, a.Picture)
}

// menuBubble shows a msgmenu as a text with tap-links: head, items, tail, one below the other.
func (s *server) menuBubble(m *sendBody) (Bubble, int) {
	b := Bubble{Type: "msgmenu"}
	if s.kind == TestAccount {
		return b, 40200
	}
	if len(m.Menu.List) == 0 {
		s.broke(BadBody)
		return b, 47001
	}
	lines := []string{m.Menu.Head}
	for _, item := range m.Menu.List {
		if code := s.needs(item.ID, item.Content); code != 0 {
			return b, code
		}
		lines = append(lines, item.Content)
		b.Links = append(b.Links, Link{Label: item.Content, Send: item.Content, MenuID: item.ID})
	}
	b.Text = strings.Trim(strings.Join(append(lines, m.Menu.Tail), "\n"), "\n")
	return b, s.checkText(b.Text)
}

// typingShown is how long a client shows it, typingAfter how long after an exchange it may be asked for.
const (
	typingShown = 15 * time.Second
	typingAfter = 30 * time.Second
)

// customTyping shows that the account is typing, or ends it.
func (s *server) customTyping(c *call) apiAnswer {
	var m struct {
		To      string `json:"touser"`
		Command string `json:"command"`
	}
	if json.Unmarshal(c.body, &m) != nil || m.Command != "Typing" && m.Command != "CancelTyping" {
		s.broke(BadBody)
		return refuse(45072)
	}
	f, code := s.addressed(m.To)
	now := time.Now()
	switch {
	case code != 0:
		s.broke(SentToNobody)
		return refuse(code)
	case !f.contact.open(now):
		s.broke(TypedOutside)
		return refuse(45015)
	case now.Sub(f.contact.exchange) > typingAfter:
		return refuse(45080)
	case m.Command == "CancelTyping":
		f.contact.typing = time.Time{}
	case now.Before(f.contact.typing):
		return refuse(45081)
	default:
		f.contact.typing = now.Add(typingShown)
	}
	if s.agents.serving(m.To) {
		s.broke(SentOverAgent)
	}
	return apiAnswer{shown: &Event{Type: TypingShown, OpenID: f.openid, Typing: f.contact.typing.After(now)}}
}

// doubt remembers a send of which the caller does not know what became: the same one again, before the follower has done anything, is a
// violation.
func (s *server) doubt(c *call, o *Order) {
	if c.api != SendPath || o.Refuse || o.Code != 0 && o.Code != -1 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.platform.known(c.openid); f != nil {
		if f.contact.doubted == nil {
			f.contact.doubted = make(map[string]time.Time)
		}
		f.contact.doubted[string(c.body)] = time.Now()
	}
}
