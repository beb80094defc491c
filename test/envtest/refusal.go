package envtest

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// Comparable gives what a test expects an API server to say of an object that it refuses, and what it says, in a form in
// which every version that is tested says the same. It is the text itself for an API server that quotes the value that it
// refuses: the texts of the tests and pages are such a one's. Older ones name the value's type.
func (c *ControlPlane) Comparable(t testing.TB, text string) string {
	t.Helper()
	c.asked.Do(func() { c.quotesValues, c.askedErr = c.askForQuotes(t.Context()) })
	if c.askedErr != nil {
		t.Fatal(c.askedErr)
	}
	if c.quotesValues {
		return text
	}
	return sentences(text)
}

// refusedBot is a bot but for its domain.
const refusedBot = `{apiVersion: wechatbot.dev/v1alpha1, kind: WechatBot, metadata: {name: refused}, spec: {domain: Bot.example.com,
  tokenSecretRef: {name: a, key: b}, dify: {apiKeySecretRef: {name: a, key: b}}}}`

// askForQuotes has the API server refuse a bot.
func (c *ControlPlane) askForQuotes(ctx context.Context) (bool, error) {
	_, err := c.Kubectl(ctx, refusedBot, "create", "--dry-run=server", "--namespace=default", "-f", "-")
	if err == nil {
		return false, errors.New("a bot whose domain is no domain is not refused")
	}
	if !strings.Contains(err.Error(), "spec.domain: Invalid value: ") {
		return false, fmt.Errorf("a bot is not refused for its domain, which is none: %w", err)
	}
	return strings.Contains(err.Error(), `Invalid value: "Bot.example.com"`), nil
}

var (
	refusedValue = regexp.MustCompile(`Invalid value: (?:(?:"(?:[^"\\]|\\.)*"|null|true|false|-?[0-9.]+): )?`)
	goType       = regexp.MustCompile(`Duplicate value: map\[string\]interface \{\}`)
	tooLong      = regexp.MustCompile(`may not be longer than (\d+)`)
)

// sentences gives a refusal without what depends on the API server's version: the value, and its words for one that is
// listed twice or too long.
func sentences(refusal string) string {
	refusal = refusedValue.ReplaceAllString(refusal, "Invalid value: ")
	refusal = goType.ReplaceAllString(refusal, "Duplicate value: ")
	return tooLong.ReplaceAllString(refusal, "may not be more than $1 bytes")
}
