package prompt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// Help is what :help shows.
const Help = `Type a message and press Enter. Also:
  #N          tap link N of the last reply
  :follow     follow the account (subscribe)
  :unfollow   leave the account (unsubscribe)
  :click KEY  tap the menu item with this key
  :image      send a picture
  :help       this text
  :quit       leave; Ctrl-D does too
`

// session is a follower at a terminal.
type session struct {
	in       io.Reader
	out      io.Writer
	follower *wechatsim.Follower
	secure   bool             // whether pushes are encrypted
	taps     []wechatsim.Link // of the last reply
}

func (s *session) say(format string, values ...any) { _, _ = fmt.Fprintf(s.out, format, values...) }

// errQuit leaves the prompt.
var errQuit = errors.New("there is no prompt to quit")

// MaxLine is far more than a client lets a follower type.
const MaxLine = 64 << 10

// prompt reads lines until the input ends, :quit, or ctx ends: Ctrl-C is a way to leave and no failure.
func (s *session) prompt(ctx context.Context) error {
	reading, leave := context.WithCancel(ctx)
	defer leave()
	lines, readErr := s.lines(reading)
	for {
		s.say("> ")
		select {
		case <-ctx.Done():
			s.say("\n")
			return nil
		case line, ok := <-lines:
			if !ok {
				s.say("\n")
				return <-readErr
			}
			_, err := s.do(ctx, line)
			switch {
			case errors.Is(err, errQuit):
				return nil
			case err != nil && ctx.Err() == nil:
				s.say("%v\n", err)
			}
		}
	}
}

// lines reads in a goroutine, for a read from a terminal cannot be interrupted: after Ctrl-C it ends with the process.
func (s *session) lines(ctx context.Context) (<-chan string, <-chan error) {
	lines, result := make(chan string), make(chan error, 1)
	go func() {
		defer close(lines)
		defer close(result) // after Ctrl-C nothing is sent on it
		scanner := bufio.NewScanner(s.in)
		scanner.Buffer(nil, MaxLine)
		for scanner.Scan() {
			select {
			case lines <- scanner.Text():
			case <-ctx.Done():
				return
			}
		}
		if err := scanner.Err(); err != nil {
			result <- fmt.Errorf("reading the terminal: %w", err)
		}
	}()
	return lines, result
}

// do does what a line says and tells whether the account replied.
func (s *session) do(ctx context.Context, line string) (replied bool, err error) {
	x, err := s.act(ctx, strings.TrimSpace(line))
	if err != nil || x == nil {
		return false, err
	}
	s.show(x)
	return x.Outcome == wechatsim.Replied, nil
}

// act gives no exchange for a line that sends nothing.
func (s *session) act(ctx context.Context, line string) (*wechatsim.Exchange, error) {
	if number, ok := strings.CutPrefix(line, "#"); ok {
		if n, err := strconv.Atoi(number); err == nil {
			return s.tap(ctx, n)
		}
	}
	if !strings.HasPrefix(line, ":") {
		if line == "" {
			return nil, nil //nolint:nilnil // documented
		}
		return s.follower.Send(ctx, line) //nolint:wrapcheck // it says itself what ended it
	}
	return s.command(ctx, line)
}

//nolint:wrapcheck // errors of the follower say themselves what ended the exchange
func (s *session) command(ctx context.Context, line string) (*wechatsim.Exchange, error) {
	name, argument, _ := strings.Cut(line, " ")
	argument = strings.TrimSpace(argument)
	switch name {
	case ":follow":
		return s.follower.Follow(ctx)
	case ":unfollow":
		return s.follower.Unfollow(ctx)
	case ":image":
		return s.follower.Image(ctx, "http://mmbiz.qpic.cn/mmbiz_jpg/none/0")
	case ":click":
		if argument == "" {
			return nil, errors.New(":click needs the key of a menu item")
		}
		return s.follower.Click(ctx, argument)
	case ":help":
		s.say("%s", Help)
		return nil, nil //nolint:nilnil // documented
	case ":quit":
		return nil, errQuit
	default:
		return nil, fmt.Errorf("there is no command %s; :help shows them", printable(name))
	}
}

func (s *session) tap(ctx context.Context, n int) (*wechatsim.Exchange, error) {
	if n < 1 || n > len(s.taps) {
		return nil, fmt.Errorf("the last reply has no link %d to tap", n)
	}
	return s.follower.Tap(ctx, s.taps[n-1]) //nolint:wrapcheck // as in command
}

// observe shows each delivery as it ends.
func (s *session) observe(e wechatsim.Event) {
	if e.Type != wechatsim.DeliveryEnded {
		return
	}
	d := e.Delivery
	what := string(d.Verdict)
	switch d.Verdict {
	case wechatsim.Timeout:
		what = "no answer"
	case wechatsim.Acknowledged:
		what = "taken without a reply"
	default:
	}
	s.say("  · delivery %d: %s after %s\n", d.N, what, seconds(d.Took))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// show shows how an exchange ended, as the follower's client would.
func (s *session) show(x *wechatsim.Exchange) {
	s.taps = nil
	switch x.Outcome {
	case wechatsim.Replied:
		s.reply(x)
	case wechatsim.Silent, wechatsim.Served:
		s.say("(no reply)\n")
	case wechatsim.Fault, wechatsim.Blocked:
		if x.Toast {
			s.say("[ %s ]\n", wechatsim.FaultToast)
		}
		if why := refusal(x, s.secure); why != "" {
			s.say("%s\n", why)
		}
	}
}

func (s *session) reply(x *wechatsim.Exchange) {
	switch x.Type {
	case "text":
		s.text(x.Text)
	case "news":
		s.say("[news] %s (%s)\n", printable(x.Text), printable(x.Links[0].URL))
	case "transfer_customer_service":
		s.say("(handed over to a human)\n")
	default:
		s.say("[%s] %s\n", x.Type, printable(strings.TrimSpace(x.Text+" "+x.Description)))
	}
}

// text shows links behind their labels and lists those that can be tapped.
func (s *session) text(text string) {
	shown := wechatsim.Visible(text, func(l wechatsim.Link) string {
		if l.Send == "" {
			return l.Label + " (" + l.URL + ")"
		}
		s.taps = append(s.taps, l)
		return fmt.Sprintf("%s [%d]", l.Label, len(s.taps))
	})
	s.say("%s\n", printable(shown))
	for i, l := range s.taps {
		s.say("[%d] %s — type #%d to tap\n", i+1, printable(l.Label), i+1)
	}
}

// printable keeps a reply from commanding the terminal: control characters are shown as "�".
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
