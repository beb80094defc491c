package docs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wechatbot/wechatbot-operator/test/docs"
)

func block(mark, commands string) string {
	return "<!-- run: " + mark + " -->\n```console\n" + commands + "```\n"
}

// run runs a page in a folder of its own and gives what it printed.
func run(t *testing.T, content string, env ...string) (string, error) {
	t.Helper()
	page, err := docs.Parse("p.md", content)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	dir := t.TempDir()
	err = docs.Run{
		Marks: []docs.Mark{docs.E2E}, Dir: dir, Env: append(env, "PATH="+os.Getenv("PATH")), Out: &out,
	}.Page(t.Context(), page)
	left, globErr := filepath.Glob(filepath.Join(dir, "*"))
	if globErr != nil || len(left) != 0 {
		t.Errorf("left behind: %v (%v)", left, globErr)
	}
	return out.String(), err
}

func TestAPageIsRunInOrder(t *testing.T) {
	out, err := run(t, "<!-- file: bot.yaml -->\n```yaml\ndomain: bot.example.com # $HOME\n```\n"+
		block("e2e", "$ name=winter\nnot a command\n$ sleep 1000 &\n")+
		block("no, it is not to be run", "$ exit 3\n")+
		block("local", "$ exit 4\n")+
		block("e2e", "$ echo \"$name\" \\\n    at bot.example.com\nwinter at bot.example.com\n$ cat bot.yaml\n"),
		"DOMAIN=winter.example.test")
	if err != nil {
		t.Fatal(err)
	}
	if want := "docs-at 7\ndocs-at 9\ndocs-at 21\nwinter at winter.example.test\ndocs-at 24\ndomain: winter.example.test # $HOME\n"; out != want {
		t.Errorf("got %q, want %q", out, want)
	}
}

func TestAFailureNamesTheLine(t *testing.T) {
	_, err := run(t, block("e2e", "$ echo fine\n$ echo why; false | cat\n$ echo never\n"))
	if err == nil || !strings.HasPrefix(err.Error(), "p.md:4: ") || !strings.HasSuffix(err.Error(), "\nwhy\n") {
		t.Errorf("got %v", err)
	}
	if _, err := run(t, block("e2e", "$ echo $nobodySetThis\n")); err == nil || !strings.Contains(err.Error(), "nobodySetThis") {
		t.Errorf("an unset variable: %v", err)
	}
}

func TestAFileOfSomebodyElseIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "bot.yaml")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	page, err := docs.Parse("p.md", "<!-- file: bot.yaml -->\n```yaml\na: b\n```\n")
	if err != nil {
		t.Fatal(err)
	}
	if err := (docs.Run{Dir: dir}).Page(t.Context(), page); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("got %v", err)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "mine" {
		t.Errorf("the file has %q, %v", content, err)
	}
}
