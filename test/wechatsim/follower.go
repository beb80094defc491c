package wechatsim

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
)

// Follower is one follower of the account. Several of its messages may be under way at once, as when a follower does not wait for
// the reply before typing on.
type Follower struct {
	platform *Platform
	openid   string

	contact contact // of the server API, under its lock

	mu      sync.Mutex
	bubbles []Bubble
	shown   int           // bubbles that ever were
	more    chan struct{} // closed when there is one more; nil: nobody waits
}

// Side is where a bubble stands in the conversation.
type Side string

const (
	// FromFollower is the follower's own message.
	FromFollower Side = "follower"
	// FromAccount is the account's reply.
	FromAccount Side = "account"
	// FromAgent is a message of a person who serves the follower.
	FromAgent Side = "agent"
	// FromSystem is a line of the client's own, such as FaultToast.
	FromSystem Side = "system"
)

// Bubble is one thing in the follower's view of the conversation.
type Bubble struct {
	At   time.Time
	From Side
	// Type is the message's MsgType.
	Type string
	// Text is the content of a text, for another type a title or a word in brackets.
	Text string
	// Links are what the follower can tap.
	Links []Link
	// Pushed says that it came by the server API, AI that the client shows WeChat's grey line below it, AILine.
	Pushed, AI bool
	// MediaID is that of a picture, voice or video; [Platform.Media] has the file.
	MediaID string
	// Description is that of a card.
	Description string
	// Agent is who speaks, where the account does not speak for itself.
	Agent string
}

// AILine is what clients show below a message that says to be an AI's.
const AILine = "内容由第三方AI生成"

// maxBubbles bounds what one follower's client keeps; older bubbles go first.
const maxBubbles = 1000

// ErrNotTapLink is the error of tapping a link that opens a page and sends nothing.
var ErrNotTapLink = errors.New("the link sends no message")

// OpenID is the follower's name to this account.
func (f *Follower) OpenID() string { return f.openid }

// Transcript gives the follower's view: own messages, replies and FaultToasts in the order in which they appeared.
func (f *Follower) Transcript() []Bubble {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.bubbles)
}

// Shown is how many bubbles the follower has seen so far.
func (f *Follower) Shown() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.shown
}

// Next waits until the follower has seen more than so many bubbles, and gives those beyond. The error is ctx's.
func (f *Follower) Next(ctx context.Context, shown int) ([]Bubble, error) {
	for {
		beyond, more := f.beyond(shown)
		if len(beyond) > 0 {
			return beyond, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, ctx.Err() //nolint:wrapcheck // as it is documented
		}
	}
}

// beyond gives the bubbles behind the first so many, and what is closed when there are more.
func (f *Follower) beyond(shown int) (bubbles []Bubble, more <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.more == nil {
		f.more = make(chan struct{})
	}
	n := min(max(0, f.shown-shown), len(f.bubbles))
	return slices.Clone(f.bubbles[len(f.bubbles)-n:]), f.more
}

func (f *Follower) see(b Bubble) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shown++
	if f.more != nil {
		close(f.more)
		f.more = nil
	}
	if len(f.bubbles) == maxBubbles {
		f.bubbles = slices.Delete(f.bubbles, 0, maxBubbles/10)
	}
	f.bubbles = append(f.bubbles, b)
}

// Send sends a text and blocks until the exchange is over: at most Deliveries times Timeout. This and all methods like it give an
// error only when ctx ended first; how the account did is in the Exchange.
func (f *Follower) Send(ctx context.Context, text string) (*Exchange, error) {
	return f.exchange(ctx, f.message("text", text, field{name: "Content", value: text}))
}

// Tap taps a link of a reply: a tap-link sends its text as the follower's message. Any other link is ErrNotTapLink.
func (f *Follower) Tap(ctx context.Context, l Link) (*Exchange, error) {
	if l.Send == "" {
		return nil, ErrNotTapLink
	}
	fields := []field{{name: "Content", value: l.Send}}
	if l.MenuID != "" {
		fields = append(fields, field{name: "bizmsgmenuid", value: escape(l.MenuID), number: true})
	}
	m := f.message("text", l.Send, fields...)
	m.opens = opensByClick // it counts as one, not as a message
	return f.exchange(ctx, m)
}

// Image sends a picture, which the account can fetch at picURL.
func (f *Follower) Image(ctx context.Context, picURL string) (*Exchange, error) {
	return f.exchange(ctx, f.message("image", "[image]", field{name: "PicUrl", value: picURL}, field{name: "MediaId", value: newMediaID()}))
}

// Picture sends a picture of which WeChat has the file: by PicUrl, below Options.PictureURL, and by its media id.
func (f *Follower) Picture(ctx context.Context, data []byte) (*Exchange, error) {
	return f.SendMedia(ctx, f.platform.AddMedia(data))
}

// Record sends a voice message of which WeChat has the file, an AMR, in both qualities.
func (f *Follower) Record(ctx context.Context, amr []byte) (*Exchange, error) {
	return f.SendMedia(ctx, f.platform.AddMedia(amr))
}

// ErrNoMedia is the error of sending a file that is not there, or of a kind that followers do not send.
var ErrNoMedia = errors.New("there is no such picture or voice")

// SendMedia sends what AddMedia has taken: a picture or a voice message.
func (f *Follower) SendMedia(ctx context.Context, id string) (*Exchange, error) {
	s := f.platform.server
	data, contentType := f.platform.Media(id)
	var m push
	switch kind, _, _ := strings.Cut(contentType, "/"); kind {
	case "image":
		m = f.message("image", "[image]", field{name: "PicUrl", value: s.pictureURL(id)}, field{name: "MediaId", value: id})
	case "audio":
		m = f.message("voice", "[voice]", field{name: "MediaId", value: id}, field{name: "Format", value: "amr"},
			field{name: "MediaId16K", value: f.platform.AddMedia(data)}, field{name: "Recognition"})
	default:
		return nil, ErrNoMedia
	}
	m.media = id
	return f.exchange(ctx, m)
}

// Voice sends a voice message of which nobody has the file. It carries no recognised text, as none does today.
func (f *Follower) Voice(ctx context.Context) (*Exchange, error) {
	return f.exchange(ctx, f.message("voice", "[voice]",
		field{name: "MediaId", value: newMediaID()}, field{name: "Format", value: "amr"}, field{name: "MediaId16K", value: newMediaID()},
		field{name: "Recognition"}))
}

// Location sends a place, chosen on a map, as a message; coordinates are in degrees.
func (f *Follower) Location(ctx context.Context, latitude, longitude, label string) (*Exchange, error) {
	return f.exchange(ctx, f.message("location", "[location]",
		field{name: "Location_X", value: escape(latitude), number: true}, field{name: "Location_Y", value: escape(longitude), number: true},
		field{name: "Scale", value: "16", number: true}, field{name: "Label", value: label}))
}

// Follow follows the account (subscribe).
func (f *Follower) Follow(ctx context.Context) (*Exchange, error) {
	return f.exchange(ctx, f.event("subscribe", field{name: "EventKey"}))
}

// FollowByScan follows the account by scanning its code with this scene (subscribe).
func (f *Follower) FollowByScan(ctx context.Context, scene string) (*Exchange, error) {
	return f.exchange(ctx, f.event("subscribe", field{name: "EventKey", value: "qrscene_" + scene}, field{name: "Ticket", value: newMediaID()}))
}

// Scan scans the account's code with this scene, as one who follows already (SCAN).
func (f *Follower) Scan(ctx context.Context, scene string) (*Exchange, error) {
	return f.exchange(ctx, f.event("SCAN", field{name: "EventKey", value: scene}, field{name: "Ticket", value: newMediaID()}))
}

// Unfollow leaves the account (unsubscribe). It allows no reply.
func (f *Follower) Unfollow(ctx context.Context) (*Exchange, error) {
	return f.exchange(ctx, f.event("unsubscribe", field{name: "EventKey"}))
}

// Click taps the menu item with this key (CLICK).
func (f *Follower) Click(ctx context.Context, key string) (*Exchange, error) {
	return f.exchange(ctx, f.event("CLICK", field{name: "EventKey", value: key}))
}

// View opens a menu item's page (VIEW). It allows no reply.
func (f *Follower) View(ctx context.Context, page string) (*Exchange, error) {
	return f.exchange(ctx, f.event("VIEW", field{name: "EventKey", value: page}, field{name: "MenuId", value: "400001", number: true}))
}

// ReportLocation is what a client does by itself on entering the chat, and every 5 s in it (LOCATION). It allows no reply.
func (f *Follower) ReportLocation(ctx context.Context, latitude, longitude string) (*Exchange, error) {
	return f.exchange(ctx, f.event("LOCATION",
		field{name: "Latitude", value: escape(latitude), number: true}, field{name: "Longitude", value: escape(longitude), number: true},
		field{name: "Precision", value: "65.000000", number: true}))
}

// Push pushes a whole XML document as it is, well-formed or not: in Plain mode as the body, in the others encrypted. A reply is judged as one
// to this follower. In Compatible mode the document must have its "</xml>".
func (f *Follower) Push(ctx context.Context, document string) (*Exchange, error) {
	return f.exchange(ctx, rawPush([]byte(document)))
}
