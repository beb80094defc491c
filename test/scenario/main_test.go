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
	pushed   = map[string]measuredPush{}
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
	tables := map[string]string{"measured": table(), "pushed": pushTable()}
	if testing.Verbose() {
		fmt.Println(tables["measured"] + "\n" + tables["pushed"])
	}
	if *update && code == 0 {
		if err := writeTables(tables); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func table() string {
	var order []string
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

func pushTable() string {
	var b strings.Builder
	b.WriteString("| scenario | answered | fault toasts | deliveries that failed or came again | messages a question (most) | " +
		"sends a question (most) | saw that an answer is written | whole answer p50 / p99, s |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|\n")
	for _, r := range pushRows {
		if m, ok := pushed[r.name]; ok {
			b.WriteString(m.String() + "\n")
		}
	}
	return b.String()
}

const docPath = "../../docs/behaviour.md"

// writeTables replaces what stands between each table's marks.
func writeTables(tables map[string]string) error {
	doc, err := os.ReadFile(docPath)
	if err != nil {
		return err
	}
	for name, table := range tables {
		from, to := "<!-- "+name+" -->\n", "<!-- /"+name+" -->\n"
		before, rest, ok := strings.Cut(string(doc), from)
		_, after, ok2 := strings.Cut(rest, to)
		if !ok || !ok2 {
			return fmt.Errorf("%s has no marks around its table %s", docPath, name)
		}
		doc = []byte(before + from + table + to + after)
	}
	return os.WriteFile(docPath, doc, 0o644)
}
