package scenario

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

var update = flag.Bool("update", false, "write the measured table into docs/behaviour.md")

var (
	recordMu sync.Mutex
	recorded []measured
)

func record(name string, w *world, stories []story) {
	m := measure(name, w, stories)
	recordMu.Lock()
	defer recordMu.Unlock()
	recorded = append(recorded, m)
}

func TestMain(m *testing.M) {
	flag.Parse()
	// The scenarios wait most of the time: all of them at once cost less than one core.
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	code := m.Run()
	table := table()
	if testing.Verbose() {
		fmt.Println(table)
	}
	if *update && code == 0 {
		if err := writeTable(table); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func table() string {
	order := make([]string, 0, len(rows))
	for _, r := range rows {
		order = append(order, r.name)
	}
	place := func(m measured) int {
		if i := slices.Index(order, m.name); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(recorded, func(a, b measured) int {
		if d := place(a) - place(b); d != 0 {
			return d
		}
		return strings.Compare(a.name, b.name)
	})
	var b strings.Builder
	b.WriteString("| scenario | answered | fault toasts | Dify calls | messages a question (most) | first text p50 / p99, s | whole answer p50 / p99, s |\n")
	b.WriteString("|---|---|---|---|---|---|---|\n")
	for _, m := range recorded {
		b.WriteString(m.String() + "\n")
	}
	return b.String()
}

const (
	docPath   = "../../docs/behaviour.md"
	tableFrom = "<!-- measured -->\n"
	tableTo   = "<!-- /measured -->\n"
)

// writeTable replaces what stands between the marks.
func writeTable(table string) error {
	doc, err := os.ReadFile(docPath)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(doc), tableFrom)
	_, after, ok2 := strings.Cut(rest, tableTo)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no marks around its table", docPath)
	}
	return os.WriteFile(docPath, []byte(before+tableFrom+table+tableTo+after), 0o644)
}
