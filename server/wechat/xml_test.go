package wechat

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wechatbot/wechatbot-operator/testdata"
)

// stop is one stop of a reader.
type stop struct {
	Parent, Name, Value string
	Nested              bool
}

func readAll(src []byte) (stops []stop, err error) {
	r := newReader(src)
	for r.next() {
		s := stop{Parent: string(r.parent), Name: string(r.name), Nested: r.nested}
		if !r.nested {
			s.Value = string(r.value)
		}
		stops = append(stops, s)
	}
	return stops, r.err
}

// standardStops are the stops that encoding/xml knows of.
func standardStops(src []byte) (stops []stop, err error) {
	decoder := xml.NewDecoder(bytes.NewReader(src))
	var open []stop
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return stops, nil
		}
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			s := stop{Name: token.Name.Local}
			if len(open) > 0 {
				open[len(open)-1].Nested = true
			}
			if len(open) == 2 {
				s.Parent = open[1].Name
			}
			open = append(open, s)
		case xml.CharData:
			if len(open) > 0 {
				open[len(open)-1].Value += string(token)
			}
		case xml.EndElement:
			s := open[len(open)-1]
			open = open[:len(open)-1]
			if s.Nested {
				s.Value = ""
			}
			if len(open) == 1 || len(open) == 2 {
				stops = append(stops, s)
			}
		}
	}
}

func TestReaderReads(t *testing.T) {
	for name, tc := range map[string]struct {
		src  string
		want []stop
	}{
		"nothing":              {"<xml></xml>", nil},
		"an empty root":        {"<xml/>", nil},
		"text":                 {"<xml><a>b</a></xml>", []stop{{Name: "a", Value: "b"}}},
		"empty elements":       {"<xml><a/><b /><c></c ></xml>", []stop{{Name: "a"}, {Name: "b"}, {Name: "c"}}},
		"CDATA":                {"<xml><a><![CDATA[<b>&amp;]]]></a></xml>", []stop{{Name: "a", Value: "<b>&amp;]"}}},
		"pieces":               {"<xml><a>1<![CDATA[2]]>3<!-- x -->&amp;<?p i?>4</a></xml>", []stop{{Name: "a", Value: "123&4"}}},
		"entities":             {"<xml><a>&lt;&gt;&amp;&quot;&apos;&#60;&#x3C;&#x1F600;&#13;</a></xml>", []stop{{Name: "a", Value: "<>&\"'<<😀\r"}}},
		"line ends":            {"<xml><a>1\r\n2\r3\n\r4<![CDATA[\r\n\r\r\n]]></a></xml>", []stop{{Name: "a", Value: "1\n2\n3\n\n4\n\n\n"}}},
		"a reference in CR LF": {"<xml><a>\r&#10;</a></xml>", []stop{{Name: "a", Value: "\n\n"}}},
		"brackets apart":       {"<xml><a>]]&gt;]>]]</a></xml>", []stop{{Name: "a", Value: "]]>]>]]"}}},
		"nesting": {"<xml><p> <q>1<r>2</r></q><s>3</s></p></xml>", []stop{
			{Parent: "p", Name: "q", Nested: true}, {Parent: "p", Name: "s", Value: "3"}, {Name: "p", Nested: true},
		}},
		"attributes":           {"<xml a='1'><b c=\"x>y\"\n d = '' /></xml>", []stop{{Name: "b"}}},
		"text beside elements": {"<xml>a &amp; b<c>d</c>e</xml>", []stop{{Name: "c", Value: "d"}}},
		"prolog and epilog":    {"\uFEFF<?xml version=\"1.0\" encoding='utf-8' standalone='yes' ?>\n<!--a--><?b c?><xml><d/></xml> <!----><?e?>\n", []stop{{Name: "d"}}},
		"the deepest allowed":  {"<xml>" + repeat("<a>", maxDepth-1) + repeat("</a>", maxDepth-1) + "</xml>", []stop{{Parent: "a", Name: "a", Nested: true}, {Name: "a", Nested: true}}},
	} {
		t.Run(name, func(t *testing.T) {
			before := tc.src
			src := []byte(tc.src)
			got, err := readAll(src)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if string(src) != before {
				t.Errorf("the source was changed to %q", src)
			}
			checkAgainstStandard(t, src)
		})
	}
}

func TestReaderRefuses(t *testing.T) {
	for name, src := range map[string]string{
		"nothing":                      "",
		"space":                        " \n",
		"text":                         "hello",
		"a lone bracket":               "<",
		"an open root":                 "<xml>",
		"an open root with text":       "<xml>a",
		"an open element":              "<xml><a></xml>",
		"an end without a start":       "</xml>",
		"an unfinished start":          "<xml",
		"an unfinished empty":          "<xml/",
		"an unfinished end":            "<xml></xml",
		"a bad end":                    "<xml></xml a>",
		"crossed elements":             "<xml><a><b></a></b></xml>",
		"another case":                 "<xml></XML>",
		"another root":                 "<XML></XML>",
		"two roots":                    "<xml/><xml/>",
		"text behind the root":         "<xml/>a",
		"CDATA behind the root":        "<xml/><![CDATA[]]>",
		"CDATA before the root":        "<![CDATA[a]]><xml/>",
		"a namespace":                  "<w:xml></w:xml>",
		"a name with a colon":          "<xml><a:b/></xml>",
		"a name with a digit first":    "<xml><1/></xml>",
		"a name of other letters":      "<xml><é/></xml>",
		"no name":                      "<xml>< a/></xml>",
		"an empty tag":                 "<xml><></></xml>",
		"a document type":              "<!DOCTYPE xml><xml/>",
		"an entity declaration":        "<xml><!ENTITY a 'b'></xml>",
		"an unknown entity":            "<xml>&nbsp;</xml>",
		"a bare ampersand":             "<xml>a & b</xml>",
		"an entity without end":        "<xml>&amp</xml>",
		"an empty entity":              "<xml>&;</xml>",
		"an empty reference":           "<xml>&#;</xml>",
		"an empty hex reference":       "<xml>&#x;</xml>",
		"a reference in capitals":      "<xml>&#X41;</xml>",
		"a reference to NUL":           "<xml>&#0;</xml>",
		"a reference to a surrogate":   "<xml>&#xD800;</xml>",
		"a reference to U+FFFF":        "<xml>&#xFFFF;</xml>",
		"a reference out of Unicode":   "<xml>&#x110000;</xml>",
		"a negative reference":         "<xml>&#-1;</xml>",
		"a signed reference":           "<xml>&#+65;</xml>",
		"a reference with underscores": "<xml>&#6_5;</xml>",
		"CDATA's end in text":          "<xml>a]]>b</xml>",
		"CDATA without end":            "<xml><![CDATA[a]]</xml>",
		"CDATA in lower case":          "<xml><![cdata[a]]></xml>",
		"a comment without end":        "<xml><!-- a",
		"a comment with dashes":        "<xml><!-- a -- b --></xml>",
		"a comment ending in dashes":   "<xml><!-- a ---></xml>",
		"a comment cut short":          "<xml/><!--a--",
		"an instruction without end":   "<?a b<xml/>",
		"an instruction without name":  "<? a?><xml/>",
		"an instruction with a slash":  "<?a/b?><xml/>",
		"a late declaration":           " <?xml version='1.0'?><xml/>",
		"a declaration inside":         "<xml><?xml version='1.0'?></xml>",
		"a declaration in capitals":    "<?XML version='1.0'?><xml/>",
		"XML 1.1":                      "<?xml version='1.1'?><xml/>",
		"another encoding":             "<?xml version='1.0' encoding='gbk'?><xml/>",
		"an odd declaration":           "<?xml version=1.0?><xml/>",
		"an unknown declaration":       "<?xml version='1.0' a='b'?><xml/>",
		"an unended declaration":       "<?xml version='1.0'",
		"a declaration ended oddly":    "<?xml version='1.0'><xml/>",
		"an attribute without value":   "<xml a></xml>",
		"an attribute without quotes":  "<xml a=b></xml>",
		"an attribute without end":     "<xml a='b></xml>",
		"an attribute with a tag":      "<xml a='<b'></xml>",
		"an attribute with an entity":  "<xml a='&amp;'></xml>",
		"attributes glued together":    "<xml a='b'c='d'></xml>",
		"an attribute cut short":       "<xml a=",
		"a slash too many":             "<xml/ ></xml>",
		"too deep":                     "<xml>" + repeat("<a>", maxDepth) + repeat("</a>", maxDepth) + "</xml>",
		"too many":                     "<xml>" + repeat("<a/>", maxElements) + "</xml>",
	} {
		t.Run(name, func(t *testing.T) {
			stops, err := readAll([]byte(src))
			if !errors.Is(err, ErrUnusable) {
				t.Fatalf("read as %+v, error %v", stops, err)
			}
		})
	}
}

// checkAgainstStandard holds what the reader accepts against encoding/xml.
func checkAgainstStandard(t *testing.T, src []byte) {
	t.Helper()
	ours, err := readAll(src)
	if err != nil {
		return
	}
	theirs, err := standardStops(src)
	if err != nil {
		t.Fatalf("accepted %q, which encoding/xml refuses: %v", src, err)
	}
	if diff := cmp.Diff(theirs, ours); diff != "" {
		t.Fatalf("%q reads otherwise (-encoding/xml +ours):\n%s", src, diff)
	}
}

// FuzzParse checks that encoding/xml reads whatever is accepted here, and to the same values.
func FuzzParse(f *testing.F) {
	err := fs.WalkDir(testdata.WeChat, "wechat", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".xml") {
			return err
		}
		body := readFixture(f, strings.TrimPrefix(path, "wechat/"))
		if len(body) < 4096 {
			f.Add(body)
		}
		return nil
	})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		"\uFEFF<?xml version='1.0' encoding='UTF-8'?><xml a='b'><c>&#x41;\r\n]]&gt;<![CDATA[\x00\r]]></c><!-- - --></xml><?d e?>",
		"<xml><ScanCodeInfo><ScanType>&lt;</ScanType>\x0b</ScanCodeInfo>\ufffe</xml>",
		"<xml><Content>]\x00]></Content></xml>",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		legal, ok := legalise(body)
		if !bytes.Equal(body, before) {
			t.Fatal("legalise changed its argument")
		}
		if !ok {
			return
		}
		if want := stripForbidden(body); !bytes.Equal(legal, want) {
			t.Fatalf("%q sanitised to %q, want %q", body, legal, want)
		}
		checkAgainstStandard(t, legal)
		p, err := parsePush(body, "")
		if err != nil {
			if p != nil || !errors.Is(err, ErrUnusable) {
				t.Fatalf("%v, %v", p, err)
			}
			return
		}
		if key := p.DedupeKey(); len(key) > 64 || key == "" {
			t.Fatalf("dedupe key %q", key)
		}
	})
}
