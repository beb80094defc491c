package turn

import (
	"context"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

const (
	// maxSends is how many messages WeChat takes after one of the follower's: what the text leaves of them is for media.
	maxSends = 5
	// mediaTime bounds the fetching and making of all that is sent behind one text: the follower's next question waits for it.
	mediaTime = 45 * time.Second
	// replyFirst is how long after a reply has shown the text what belongs to it is sent: the reply is to come first.
	replyFirst = time.Second
)

// extra is something of an answer that is sent behind its text.
type extra struct {
	kind string
	// make gets it ready; send is nil if there turns out to be nothing to send.
	make func(ctx context.Context) (send func(ctx context.Context) session.SendResult, err error)
}

// mediaExtra is a picture or a voice; kind is PictureMedia or VoiceMedia.
func (r *run) mediaExtra(kind string, upload func(ctx context.Context) (mediaID string, err error)) extra {
	return extra{kind, func(ctx context.Context) (func(ctx context.Context) session.SendResult, error) {
		id, err := upload(ctx)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context) session.SendResult {
			return r.Pusher.SendMedia(ctx, r.lease.Turn.Key.Follower, kind, id)
		}, nil
	}}
}

// plan finds what is to be sent behind the text of the answer. Only the process that has made the answer sends it, so that nothing is
// sent twice: if it dies before, the links in the text are what is left.
func (r *run) plan(ctx context.Context, o *session.Outcome) {
	if r.Media != nil && o.State == session.Answered {
		r.planMedia(ctx, o)
	}
	r.planSuggestions(o)
	r.extras = r.extras[:min(len(r.extras), maxSends)]
	o.Media = len(r.extras) > 0
}

func (r *run) planMedia(ctx context.Context, o *session.Outcome) {
	if r.settings.SpeakToVoices && spoken(&r.lease.Turn) && o.Failure == "" {
		if p, known := r.app(ctx); known && p.TextToSpeech {
			text := r.Renderer.Text(o.Answer)
			r.extras = append(r.extras, r.mediaExtra(VoiceMedia, func(ctx context.Context) (string, error) {
				return r.Media.Speak(ctx, r.lease.Turn.Key.Follower, text)
			}))
		}
	}
	for _, picture := range r.Media.Pictures(o.Answer) {
		r.extras = append(r.extras, r.mediaExtra(PictureMedia, func(ctx context.Context) (string, error) { return r.Media.Picture(ctx, picture) }))
	}
}

// awaitReply waits until the reply to the question has shown the text, or can no more; false if the engine ends before.
func (r *run) awaitReply(ctx context.Context) bool {
	over := r.lease.Turn.AcceptedAt.Add(r.Patience)
	for len(r.extras) > 0 && time.Until(over) > replyFirst {
		if t, err := r.look(ctx); err == nil && t.Delivered {
			return pause(ctx, replyFirst)
		}
		if !pause(ctx, whileSending) {
			return false
		}
	}
	wait := time.Until(over)
	return wait <= 0 || pause(ctx, wait)
}

// sendExtra sends the next of what belongs to a text that the follower has got; false if no more is to be sent.
func (r *run) sendExtra(ctx context.Context, t session.Turn) (goOn bool) {
	if len(r.extras) == 0 || t.Sends >= maxSends || t.Sending.State != session.NotSending || ctx.Err() != nil {
		return false
	}
	next := r.extras[0]
	r.extras = r.extras[1:]
	if r.extrasUntil.IsZero() {
		r.extrasUntil = time.Now().Add(mediaTime)
	}
	making, cancel := context.WithDeadline(ctx, r.extrasUntil)
	send, err := next.make(making)
	cancel()
	if err != nil {
		r.Log.Info("What belongs to an answer is not sent", r.inLog(t.Key, "kind", next.kind, "error", err)...)
		return true
	}
	if send == nil {
		return true
	}
	return r.send(ctx, t, outgoing{part: session.Part{To: t.Cursor, End: true}, send: send})
}
