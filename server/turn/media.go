package turn

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/session"
)

// The kinds of session.Media.
const (
	PictureMedia = "image"
	VoiceMedia   = "voice"
)

// Media reads what followers send besides words. It is safe for concurrent use.
type Media interface {
	// Attach makes a picture a file of its follower's question: it fetches it and uploads it to the app, or where the app takes no
	// uploads gives its address.
	Attach(ctx context.Context, follower string, picture session.Media, upload bool) (dify.File, error)
	// Hears tells whether the account gives voice messages out, as far as is known: nil, or why not.
	Hears() error
	// Hear gives the words of a voice message; "" if there are none. The recordings are of the same message, the best first.
	Hear(ctx context.Context, follower string, recordings []session.Media) (string, error)

	// Pictures are those that an answer has, among its files and in its text.
	Pictures(a session.Answer) []session.File
	// Picture gives a picture of an answer to WeChat, and returns its ID there: one that it shows, or an error.
	Picture(ctx context.Context, picture session.File) (mediaID string, err error)
	// Speak has the app read a text out, as much of it as WeChat plays, and returns the recording's ID at WeChat's.
	Speak(ctx context.Context, follower, text string) (mediaID string, err error)
}

// MediaError says why what a follower has sent is of no use, in the words that the follower is told. Its text is safe to log.
type MediaError struct {
	Failure Failure
	Err     error
}

// Error is the cause's.
func (e *MediaError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *MediaError) Unwrap() error { return e.Err }

var (
	errNoPictures = errors.New("the app takes no pictures")
	errDeaf       = errors.New("the app's speech-to-text is switched off")
	errNoWords    = errors.New("nothing was said in the voice message")
	errNoAPI      = errors.New("the bot has no AppSecret to get voice messages with")
)

// usualPictures is how many pictures are kept of a follower while Dify does not say how many the app takes.
const usualPictures = 3

// Picture replies to a picture alone: it asks nothing, so it is kept for the question to come.
func (e *Engine) Picture(ctx context.Context, m Message) (r Reply) {
	s := e.settings.Load()
	defer e.delivered(ctx, m, time.Now(), &r)
	e.Contact(m)
	c := e.clock(s, m)
	most, _, known := e.pictures(ctx, c.deadline)
	if !known {
		most = usualPictures
	}
	if e.Media == nil || most == 0 || len(m.Media) == 0 {
		return e.Unsupported()
	}
	n, err := within(ctx, e, c.reply, func(ctx context.Context) (int, error) { return e.Store.Keep(ctx, m.key(), m.Media[0], most) })
	if err != nil {
		return e.unavailable(ctx, s, m, c, "keeping a picture", err, e.refuse(s, TextBusy))
	}
	// With none left, a question has taken it between two deliveries.
	return e.notice(strings.ReplaceAll(e.linked(s, TextPictureKept), "{{count}}", strconv.Itoa(max(n, 1))))
}

// pictures is how many pictures a question may have, and whether the app takes them as uploads, as far as is known until then.
func (e *Engine) pictures(ctx context.Context, until time.Time) (most int, upload, known bool) {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	p, known := e.app(ctx)
	most, upload = p.FileUpload.Pictures()
	return most, upload, known
}

// Voice replies to a voice message. Its words are the question: WeChat's own recognition, if Text has it, or what the app hears in the
// recordings.
func (e *Engine) Voice(ctx context.Context, m Message) (r Reply) {
	if strings.TrimSpace(m.Text) != "" {
		return e.Text(ctx, m)
	}
	s := e.settings.Load()
	defer e.delivered(ctx, m, time.Now(), &r)
	if err := e.hears(ctx, e.clock(s, m).deadline); err != nil {
		e.noteVoice(err)
		e.Contact(m)
		return e.notice(s.Texts.get(TextVoiceUnclear))
	}
	return e.ask(ctx, s, m, "")
}

// hears tells why no voice message can be understood, as far as is known until then.
func (e *Engine) hears(ctx context.Context, until time.Time) error {
	if e.Media == nil {
		return errNoAPI
	}
	if err := e.Media.Hears(); err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	if p, known := e.app(ctx); known && !p.SpeechToText {
		return errDeaf
	}
	return nil
}

// SharedLink replies to a page that a follower has shared: its words are a question.
func (e *Engine) SharedLink(ctx context.Context, m Message, title, description, url string) (r Reply) {
	return e.inWords(ctx, m, TextAboutLink, "{{title}}", title, "{{description}}", description, "{{url}}", url)
}

// SharedPlace replies to a place on the map in the same way.
func (e *Engine) SharedPlace(ctx context.Context, m Message, label, latitude, longitude string) (r Reply) {
	return e.inWords(ctx, m, TextAboutPlace, "{{label}}", label, "{{latitude}}", latitude, "{{longitude}}", longitude)
}

// inWords asks a question that a text of the bot's makes of what a follower has shared. Lines of which nothing is there go.
func (e *Engine) inWords(ctx context.Context, m Message, key string, fields ...string) (r Reply) {
	s := e.settings.Load()
	defer e.delivered(ctx, m, time.Now(), &r)
	for i := range fields {
		fields[i] = strings.TrimSpace(fields[i])
	}
	filled := strings.NewReplacer(fields...).Replace(s.Texts.get(key))
	lines := slices.DeleteFunc(strings.Split(filled, "\n"), func(line string) bool { return strings.TrimSpace(line) == "" })
	return e.ask(ctx, s, m, strings.Join(lines, "\n"))
}

// spoken tells whether a question was a voice message.
func spoken(t *session.Turn) bool {
	return slices.ContainsFunc(t.Media, func(m session.Media) bool { return m.Kind == VoiceMedia })
}

func ofKind(all []session.Media, kind string) []session.Media {
	return slices.DeleteFunc(slices.Clone(all), func(m session.Media) bool { return m.Kind != kind })
}

// hear makes a voice message the turn's question, once: a later owner of the turn has its words.
func (r *run) hear(ctx context.Context) error {
	t := &r.lease.Turn
	recordings := ofKind(t.Media, VoiceMedia)
	if t.Question != "" || len(recordings) == 0 {
		return nil
	}
	var text string
	err := errNoAPI
	if r.Media != nil {
		err = r.tryAgain(ctx, func() (err error) {
			text, err = r.Media.Hear(ctx, t.Key.Follower, recordings)
			return err
		})
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return err
	case err == nil && text == "":
		return &MediaError{VoiceUnclear, errNoWords} // as when somebody coughs: nothing is wrong
	}
	r.noteVoice(err)
	if err != nil {
		return &MediaError{VoiceUnclear, err}
	}
	t.Question = text
	err = r.persistently("storing what was heard", func(ctx context.Context) error {
		return r.Store.Progress(ctx, r.lease, session.Progress{Question: text})
	})
	if errors.Is(err, session.ErrLeaseLost) {
		r.cancel(session.ErrLeaseLost)
	}
	return err
}

// attach makes the pictures of the question files of the app: the youngest, if it takes fewer.
func (r *run) attach(ctx context.Context) ([]dify.File, error) {
	pictures := ofKind(r.lease.Turn.Media, PictureMedia)
	if len(pictures) == 0 || r.Media == nil {
		return nil, nil
	}
	most, upload, known := r.pictures(ctx, time.Now().Add(openingWait))
	switch {
	case !known:
		most, upload = usualPictures, true
	case most == 0:
		return nil, &MediaError{PictureRefused, errNoPictures}
	}
	files := make([]dify.File, 0, most)
	for _, picture := range pictures[max(0, len(pictures)-most):] {
		call := func() error {
			file, err := r.Media.Attach(ctx, r.lease.Turn.Key.Follower, picture, upload)
			if err == nil {
				files = append(files, file)
			}
			return err
		}
		try := func(_ context.Context, call func() error) error { return call() }
		if upload {
			try = r.tryAgain
		}
		err := try(ctx, call)
		if err != nil && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// tryAgain makes a call of Dify's before the question's own, as often as that one is made while Dify is away, and not at all while
// the circuit breaker is open.
func (r *run) tryAgain(ctx context.Context, call func() error) error {
	for try := 1; ; try++ {
		report, err := r.breaker.Allow()
		if err != nil {
			return err //nolint:wrapcheck // the engine sorts Dify's errors
		}
		err = call()
		report(err)
		e := difyError(err)
		if e.Kind != "" && ctx.Err() == nil {
			r.Metrics.difyError(e)
		}
		if err == nil || try == maxTries || !e.MayRetry(try-1) || !pause(ctx, max(backoff(try), e.RetryAfter)) {
			return err
		}
	}
}

// voiceLogAgain is how long the same cause is not logged again.
const voiceLogAgain = time.Hour

// voice is how the last voice message was understood.
type voice struct {
	mu        sync.Mutex
	lastError string
	logged    string
	loggedAt  time.Time
}

// noteVoice notes why a voice message was not understood; nil if it was.
func (e *Engine) noteVoice(err error) {
	v := &e.voice
	v.mu.Lock()
	defer v.mu.Unlock()
	if err == nil {
		v.lastError, v.logged = "", ""
		return
	}
	v.lastError = err.Error()
	if v.lastError == v.logged && time.Since(v.loggedAt) < voiceLogAgain {
		return
	}
	v.logged, v.loggedAt = v.lastError, time.Now()
	e.Log.Warn("A voice message was not understood: its follower is asked to type", "error", v.lastError)
}

// VoiceError says why the last voice message was not understood; "" if it was, or there was none.
func (e *Engine) VoiceError() string {
	e.voice.mu.Lock()
	defer e.voice.mu.Unlock()
	return e.voice.lastError
}
