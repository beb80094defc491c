package render

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What leads from one answer to the next, and from an answer to what is shown of it, in testdata/answers.
const (
	caseMark = "=== "
	wantMark = "\n==>\n"
)

const testOrigin = "https://dify.example.com"

// answerCase is an answer and what a follower reads of it.
type answerCase struct{ name, markdown, want string }

// answerCases returns the cases of each file of testdata/answers. A file has answers of one kind.
func answerCases(t testing.TB) map[string][]answerCase {
	t.Helper()
	files, err := filepath.Glob("testdata/answers/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no answers: %v", err)
	}
	all := map[string][]answerCase{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for section := range strings.SplitSeq(strings.TrimPrefix("\n"+string(b), "\n"+caseMark), "\n"+caseMark) {
			name, text, _ := strings.Cut(section, "\n")
			md, want, _ := strings.Cut(text, wantMark)
			all[file] = append(all[file], answerCase{name, md, strings.TrimSuffix(want, "\n")})
		}
	}
	return all
}

// TestAnswers checks what a follower reads of each answer, and that what is shown while it grows stays. -update rewrites
// what is wanted; read it before you keep it.
func TestAnswers(t *testing.T) {
	for file, cases := range answerCases(t) {
		var rewritten strings.Builder
		for _, c := range cases {
			got := Text(c.markdown, nil, Options{Origin: testOrigin})
			rewritten.WriteString(caseMark + c.name + "\n" + c.markdown + wantMark + got + "\n")
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt")+"/"+c.name, func(t *testing.T) {
				if diff := cmp.Diff(c.want, got); diff != "" && !*update {
					t.Errorf("%s\n-want +got:\n%s", c.markdown, diff)
				}
				checkText(t, got)
				checkPartial(t, c.markdown, 1)
				checkPartial(t, "前言。\n\n"+c.markdown+"\n\n后文。", 1)
			})
		}
		if *update {
			if err := os.WriteFile(file, []byte(rewritten.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}
