package show

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/wechatbot/wechatbot-operator/api/serverlocal"
)

// Sessions writes followers' sessions. more is the command that shows more of them; empty if there are none.
func Sessions(w io.Writer, all []serverlocal.Session, more string, now time.Time) error {
	p := &page{w: w}
	if len(all) == 0 {
		p.line("no followers")
	} else {
		rows := [][]string{{"ALIAS", "LAST ACTIVE", "TURNS", "UNDELIVERED", "SIZE", "OPEN"}}
		for i := range all {
			rows = append(rows, row(&all[i], now))
		}
		p.table(rows)
	}
	if more != "" {
		p.line("\nThere may be more: %s", Printable(more))
	}
	return p.err
}

func row(s *serverlocal.Session, now time.Time) []string {
	var open []string
	for _, t := range s.Open {
		open = append(open, fmt.Sprintf("%s %s (%s)", t.State, age(now, t.Since), t.Message))
	}
	if s.HumanUntil != nil {
		open = append(open, "served by a person")
	}
	if len(open) == 0 {
		open = []string{"-"}
	}
	return []string{
		s.Alias, age(now, s.LastActive), strconv.Itoa(s.Turns), strconv.Itoa(s.Undelivered), size(s.Bytes), strings.Join(open, ", "),
	}
}

// age is never negative: the server's clock may be ahead.
func age(now, since time.Time) string { return duration.HumanDuration(max(now.Sub(since), 0)) }

func size(bytes int64) string {
	if bytes < 1<<10 {
		return strconv.FormatInt(bytes, 10) + "B"
	}
	if bytes < 10<<20 {
		return strconv.FormatInt(bytes>>10, 10) + "Ki"
	}
	return strconv.FormatInt(bytes>>20, 10) + "Mi"
}

// Menu writes what differs between the menu that WeChat shows and the configured one, line by line.
func Menu(w io.Writer, m *serverlocal.Menu) error {
	p := &page{w: w}
	if !m.Open {
		p.line("the menu is switched off in WeChat's console: followers see none")
	}
	if m.Same {
		p.line("WeChat shows the menu as it is configured")
		return p.err
	}
	for _, l := range diff(lines(m.Shown, ""), lines(m.Configured, "")) {
		p.line("%s", Printable(l))
	}
	return p.err
}

func lines(buttons []serverlocal.Button, indent string) []string {
	var all []string
	for i := range buttons {
		b := &buttons[i]
		all = append(all, strings.TrimRight(indent+b.Name+"  "+b.Type+" "+b.Does, " "))
		all = append(all, lines(b.Items, indent+"  ")...)
	}
	return all
}

// diff marks the lines that only a has with -, those that only b has with +.
func diff(a, b []string) []string {
	common := make([][]int, len(a)+1) // of a from i and b from j, the length of the longest common part
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := range slices.Backward(a) {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var all []string
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			all = append(all, "  "+a[i])
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			all = append(all, "- "+a[i])
			i++
		default:
			all = append(all, "+ "+b[j])
			j++
		}
	}
	return all
}
