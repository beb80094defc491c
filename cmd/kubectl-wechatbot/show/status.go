// Package show writes what was found of a bot for a person at a terminal. It knows no cluster.
package show

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
	"github.com/wechatbot/wechatbot-operator/api/v1alpha1"
	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/doctor"
	"github.com/wechatbot/wechatbot-operator/cmd/kubectl-wechatbot/inspect"
	"github.com/wechatbot/wechatbot-operator/controllers/desired"
)

// page is what is written; the first error stays.
type page struct {
	w   io.Writer
	err error
}

func (p *page) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// table writes rows in columns.
func (p *page) table(rows [][]string) {
	if p.err != nil {
		return
	}
	t := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i := range row {
			row[i] = Printable(row[i])
		}
		_, p.err = fmt.Fprintln(t, "  "+strings.Join(row, "\t"))
	}
	if err := t.Flush(); p.err == nil {
		p.err = err
	}
}

// Printable keeps what comes from a cluster from commanding the terminal.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// Status writes one bot on one screen.
func Status(w io.Writer, f *inspect.Facts) error {
	p, bot := &page{w: w}, f.Bot
	p.line("%s/%s  %s", bot.Namespace, bot.Name, desired.URL(bot))
	p.line("\nConditions")
	p.table(conditions(bot))
	p.line("\nServers")
	p.table(servers(f))
	if a := account(f); len(a) > 0 {
		p.line("\nAccount")
		p.table(a)
	}
	if b := budget(f); len(b) > 0 {
		p.line("\nTokens")
		p.table(b)
	}
	p.line("\nNext")
	p.table([][]string{{next(f)}})
	return p.err
}

func conditions(bot *v1alpha1.WechatBot) [][]string {
	if len(bot.Status.Conditions) == 0 {
		return [][]string{{"none: the operator has not looked at this bot yet"}}
	}
	var rows [][]string
	for _, c := range bot.Status.Conditions {
		mark := map[metav1.ConditionStatus]string{metav1.ConditionTrue: "ok", metav1.ConditionFalse: "wrong", metav1.ConditionUnknown: "?"}[c.Status]
		if c.Type == v1alpha1.ConditionReconciling || c.Type == v1alpha1.ConditionStalled || c.Type == v1alpha1.ConditionSuspended {
			mark = "!" // these are True when something is going on
		}
		rows = append(rows, []string{mark, c.Type, c.Reason, c.Message})
	}
	return rows
}

func servers(f *inspect.Facts) [][]string {
	switch {
	case f.ServersErr != nil:
		return [][]string{{"not known: " + f.ServersErr.Error()}}
	case len(f.Servers) == 0:
		return [][]string{{"none runs"}}
	}
	rows := [][]string{{"POD", "READY", "RESTARTS", "VERSION", "STORE", "DIFY", "PUSHES", "WRONG SIGNATURE", "UNDECRYPTABLE"}}
	for i := range f.Servers {
		s := &f.Servers[i]
		row := []string{s.Pod, strconv.FormatBool(s.Ready), strconv.Itoa(int(s.Restarts))}
		switch {
		case inspect.Forbidden(s.Err):
			row = append(row, "you may not forward ports to it")
		case s.Err != nil:
			row = append(row, s.Err.Error())
		case s.Status != nil:
			row = append(row, s.Status.Version, store(s.Status), dify(s.Status), strconv.FormatInt(s.Status.Pushes.Authentic, 10),
				strconv.FormatInt(s.Status.Pushes.WrongSignature, 10), strconv.FormatInt(s.Status.Pushes.Undecryptable, 10))
		default:
			row = append(row, s.Problem)
		}
		rows = append(rows, row)
	}
	return rows
}

func store(s *serverstatus.Status) string {
	if s.Store.OK {
		return "ok"
	}
	return s.Store.Error
}

func dify(s *serverstatus.Status) string {
	if s.Dify.LastError == "" {
		return "ok"
	}
	return s.Dify.LastError
}

// account is what a server knows of it; of several, each has seen other calls.
func account(f *inspect.Facts) [][]string {
	var rows [][]string
	for i := range f.Servers {
		s := &f.Servers[i]
		if s.Status == nil || s.Status.Account == nil {
			continue
		}
		a := s.Status.Account
		rows = append(rows, []string{s.Pod, fmt.Sprintf("may: customer service %s, media %s, menu %s, hand-over %s",
			a.Capabilities.CustomerService, a.Capabilities.Media, a.Capabilities.Menu, a.Capabilities.Handover)})
		for _, e := range a.LastErrors {
			rows = append(rows, []string{"", fmt.Sprintf("%s fails: errcode %d", e.API, e.Errcode)})
		}
		if len(a.Addresses) > 0 {
			rows = append(rows, []string{"", "not on the IP list: " + strings.Join(a.Addresses, ", ")})
		}
		if a.Menu != nil {
			rows = append(rows, []string{"", fmt.Sprintf("menu: %s", a.Menu.State)})
		}
	}
	return rows
}

// budget is what the bot has used of its tokens. All servers count together: one of those that know has the answer.
func budget(f *inspect.Facts) [][]string {
	var known *serverstatus.Budget
	for i := range f.Servers {
		s := f.Servers[i].Status
		if s == nil || s.Budget == nil {
			continue
		}
		if b := s.Budget; known == nil || b.Used != nil && (known.Used == nil || *b.Used > *known.Used) {
			known = b
		}
	}
	if known == nil {
		return nil
	}
	used := "not known"
	if known.Used != nil {
		used = strconv.FormatInt(*known.Used, 10)
	}
	rows := [][]string{{"used today", used + share(known)}}
	if known.Until != "" {
		rows[0] = append(rows[0], "until "+known.Until)
	}
	if known.Follower > 0 {
		rows = append(rows, []string{"each follower", "at most " + strconv.FormatInt(known.Follower, 10) + " a day"})
	}
	return rows
}

// share says how much of the bot's budget is used.
func share(b *serverstatus.Budget) string {
	switch {
	case b.Bot == 0:
		return ""
	case b.Used == nil:
		return fmt.Sprintf(" of %d", b.Bot)
	}
	return fmt.Sprintf(" of %d (%d %%)", b.Bot, int64(100*float64(*b.Used)/float64(b.Bot)))
}

// next is what to do about the first thing that is wrong.
func next(f *inspect.Facts) string {
	if c := meta.FindStatusCondition(f.Bot.Status.Conditions, v1alpha1.ConditionReady); c != nil && c.Status == metav1.ConditionFalse {
		return c.Message
	}
	for _, one := range doctor.Cluster(f) {
		if one.Verdict == doctor.Wrong {
			return one.What
		}
	}
	return fmt.Sprintf("nothing: kubectl wechatbot doctor %s looks at what WeChat meets at the URL, too", f.Bot.Name)
}

// Findings writes what the doctor found, and a last line that sums up.
func Findings(w io.Writer, all []doctor.Finding) error {
	p := &page{w: w}
	var rows [][]string
	wrong, unknown := 0, 0
	for _, f := range all {
		switch f.Verdict {
		case doctor.Wrong:
			wrong++
		case doctor.Unknown:
			unknown++
		case doctor.OK:
		}
		rows = append(rows, []string{string(f.Verdict), f.Check, f.What})
	}
	p.table(rows)
	switch {
	case wrong > 0:
		p.line("\n%d of %d checks found something wrong", wrong, len(all))
	case unknown > 0:
		p.line("\nnothing wrong was found; %d of %d checks could not be made", unknown, len(all))
	default:
		p.line("\neverything is as it should be")
	}
	return p.err
}
