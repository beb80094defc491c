package wechat

import (
	"bytes"
	"encoding/xml"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// verdict is what Open must say.
type verdict struct {
	err    error
	reason Reason
}

var (
	parses   = verdict{}
	unusable = verdict{err: ErrUnusable}
)

func refused(r Reason) verdict { return verdict{ErrUnauthenticated, r} }

// outcomes maps each kind's outcomes of the manifest to what this package has to do for it. Where the manifest leaves a
// choice, the choice made is written here.
var outcomes = map[string]map[string]verdict{
	"message": {
		"answer": parses,
		"the official debug page adds a URL element; ignore it":                               parses,
		"not in the current documentation (seen historically); must be acked as unknown type": parses,
		"image handling; PicUrl is plain http and publicly readable":                          parses,
		"same": parses,
		"treat Url as text; never fetch automatically (SSRF)":                            parses,
		"X=latitude, Y=longitude":                                                        parses,
		"mini-program push shape; on an OA treat as unsupported":                         parses,
		"answer: accept MsgID as alias":                                                  parses,
		`Content == "a < b && c"`:                                                        parses,
		"unsupported-type reply or success":                                              parses,
		"treat as menu choice id=101; grants only the menu-click customer-service quota": parses,
		"unknown extra element must be ignored":                                          parses,
		"answer; Content must survive byte-for-byte":                                     parses,
		"ack success, no LLM call":                                                       parses,
		"answer; MsgDataId/Idx optional ints as strings":                                 parses,
		"2047 bytes of UTF-8; answer":                                                    parses,
		"ordinary text; must be passed as user content only":                             parses,
		"treat as unsupported type; do not send to the LLM":                              parses,
		"200 + success": parses,
		"Recognition absent: fetch MediaId16K via API (verified accounts) and run own ASR, else polite fallback": parses,
		"historic: use Recognition as text":                                     parses,
		"the normal case since 2023 even with the switch on: same as voice.xml": parses,
		"unsupported codec fallback":                                            parses,
	},
	"malformed": {
		`"]]>" outside CDATA is not well-formed: reject or accept`: unusable,
		`correctly escaped: Content == "a]]>b"`:                    parses,
		"answer; comments ignored":                                 parses,
		"process; int64":                                           parses,
		"process or ack; must not 5xx":                             parses,
		"process":                                                  parses,
		"reject or answer; bounded stack/memory":                   unusable,
		"reject in <50 ms with bounded memory":                     unusable,
		"deterministic choice; one message":                        unusable,
		"400 or 200-empty without calling Dify; never 5xx":         unusable,
		"reject":                 unusable,
		"reject (invalid UTF-8)": unusable,
		"400 KB body: accept or reject by size limit":                           refused(ReasonSize),
		"ack success, no LLM call":                                              parses,
		"reject: cannot address a reply":                                        unusable,
		"ack success, log":                                                      unusable,
		"accept or reject":                                                      unusable,
		"process; never use CreateTime for security decisions":                  parses,
		"reject (OA push format is XML only) unless JSON is a supported option": unusable,
		"as control_chars":                                                      parses,
		"openid used as a key only; never as a path; consider rejecting outside ^[A-Za-z0-9_-]{20,40}$": unusable,
		"as invalid_utf8": unusable,
		"push for another account: reject or log when the original id is configured": unusable,
		"one message processed, or reject":                                           unusable,
		"reject (parse error)":                                                       unusable,
		"reject (or sanitise); must not crash":                                       unusable,
		"reject (root element must be xml)":                                          unusable,
		"reject; no file access":                                                     unusable,
		"reject or ignore DTD; no outbound request":                                  unusable,
	},
}

// fileOutcomes are for kinds in which one outcome has several causes.
var fileOutcomes = map[string]verdict{
	"encrypted/bad_msg_signature.xml":         refused(ReasonSignature),
	"encrypted/cdata_encrypt_missing.xml":     refused(ReasonEnvelope),
	"encrypted/cipher_base64_url.xml":         refused(ReasonCipher),
	"encrypted/cipher_empty.xml":              refused(ReasonEnvelope),
	"encrypted/cipher_not_base64.xml":         refused(ReasonCipher),
	"encrypted/cipher_not_block_multiple.xml": refused(ReasonCipher),
	"encrypted/compat_mode.xml":               parses,
	"encrypted/empty_appid.xml":               refused(ReasonCipher),
	"encrypted/future_timestamp.xml":          refused(ReasonWindow),
	"encrypted/len_overrun.xml":               refused(ReasonCipher),
	"encrypted/len_zero.xml":                  unusable,
	"encrypted/ok_emoji.xml":                  parses,
	"encrypted/ok_pad_32.xml":                 parses,
	"encrypted/ok_text.xml":                   parses,
	"encrypted/one_block.xml":                 refused(ReasonCipher),
	"encrypted/pad_16_aligned.xml":            parses,
	"encrypted/pad_33.xml":                    refused(ReasonCipher),
	"encrypted/pad_zero.xml":                  refused(ReasonCipher),
	"encrypted/stale_timestamp.xml":           refused(ReasonWindow),
	"encrypted/timestamp_ms.xml":              refused(ReasonWindow),
	"encrypted/uppercase_signature.xml":       refused(ReasonSignature),
	"encrypted/wrong_appid.xml":               refused(ReasonCipher),
	"malformed/duplicate_elements.xml":        parses, // the second is part of what the follower has written
}

func (v verdict) check(t *testing.T, p *Push, err error) {
	t.Helper()
	if !errors.Is(err, v.err) || ReasonOf(err) != v.reason {
		t.Fatalf("error is %v (reason %q), want %v (reason %q)", err, ReasonOf(err), v.err, v.reason)
	}
	if (p == nil) != (err != nil) {
		t.Fatalf("push is %v with error %v", p, err)
	}
}

func TestEveryFixtureHasItsOutcome(t *testing.T) {
	m := loadManifest(t)
	plain, secure := m.plain(t), m.secure(t)
	c := mustCipher(t, m.EncodingAESKey, m.AppID)
	for _, f := range m.Files {
		t.Run(f.File, func(t *testing.T) {
			body := readFixture(t, f.File)
			want, known := outcomes[f.Kind][f.Outcome]
			switch f.Kind {
			case "event":
				want, known = parses, true // what an event leads to is not decided here
			case "encrypted":
				want, known = fileOutcomes[f.File]
			case "malformed":
				if own, ok := fileOutcomes[f.File]; ok {
					want = own
				}
			case "reply":
				if _, known := replyFixtures[f.File]; !known {
					t.Fatal("no test writes this reply")
				}
				return
			}
			if !known {
				t.Fatalf("outcome %q of kind %q is not mapped", f.Outcome, f.Kind)
			}
			if f.Kind == "encrypted" {
				p, err := secure.Open(mustQuery(t, f.Query), body, m.now())
				want.check(t, p, err)
				return
			}
			p, err := plain.Open(plainQuery(m.Token, m.Now), body, m.now())
			want.check(t, p, err)
			q, envelope := sealedPush(c, m.Token, m.Now, body)
			sealed, err := secure.Open(q, envelope, m.now())
			want.check(t, sealed, err)
			if want.err != nil {
				return
			}
			if diff := cmp.Diff(p, sealed, cmpopts.IgnoreUnexported(Push{})); diff != "" {
				t.Errorf("plain and sealed differ (-plain +sealed):\n%s", diff)
			}
			if p.Encrypted() || !sealed.Encrypted() {
				t.Errorf("Encrypted is %v for the plain and %v for the sealed push", p.Encrypted(), sealed.Encrypted())
			}
			if f.MsgType != "" && p.MsgType != f.MsgType || p.Event != f.Event {
				t.Errorf("type %q event %q, want %q and %q", p.MsgType, p.Event, f.MsgType, f.Event)
			}
			if f.File == "malformed/duplicate_elements.xml" {
				return // encoding/xml takes the last one
			}
			if diff := cmp.Diff(standardParse(t, body), p, cmpopts.IgnoreUnexported(Push{})); diff != "" {
				t.Errorf("encoding/xml reads the same otherwise (-xml +ours):\n%s", diff)
			}
		})
	}
}

// standardParse reads a push's XML with encoding/xml, after the documented sanitising.
func standardParse(tb testing.TB, body []byte) *Push {
	tb.Helper()
	var v struct {
		XMLName      xml.Name `xml:"xml"`
		ToUserName   string
		FromUserName string
		CreateTime   string
		MsgType      string
		MsgID        string `xml:"MsgId"`
		MsgIDUpper   string `xml:"MsgID"`
		Content      string
		MenuID       string `xml:"bizmsgmenuid"`
		MediaID      string `xml:"MediaId"`
		MediaID16K   string `xml:"MediaId16K"`
		ThumbMediaID string `xml:"ThumbMediaId"`
		PicURL       string `xml:"PicUrl"`
		Format       string
		Recognition  string
		LocationX    string `xml:"Location_X"`
		LocationY    string `xml:"Location_Y"`
		Scale        string
		Label        string
		Title        string
		Description  string
		URL          string `xml:"Url"`
		Event        string
		EventKey     string
		Ticket       string
		OpenID       string
		KfAccount    string
		ScanType     string `xml:"ScanCodeInfo>ScanType"`
		ScanResult   string `xml:"ScanCodeInfo>ScanResult"`
	}
	if err := xml.Unmarshal(stripForbidden(body), &v); err != nil {
		tb.Fatalf("encoding/xml refuses: %v", err)
	}
	var created int64
	for _, digit := range v.CreateTime { // another way to read it than the one under test
		if digit < '0' || digit > '9' {
			created = 0
			break
		}
		created = created*10 + int64(digit-'0')
	}
	return &Push{
		ToUserName: v.ToUserName, FromUserName: v.FromUserName, CreateTime: created, MsgType: v.MsgType, MsgID: v.MsgID + v.MsgIDUpper,
		Content: v.Content, MenuID: v.MenuID, MediaID: v.MediaID, MediaID16K: v.MediaID16K, ThumbMediaID: v.ThumbMediaID,
		PicURL: v.PicURL, Format: v.Format, Recognition: v.Recognition, LocationX: v.LocationX, LocationY: v.LocationY,
		Scale: v.Scale, Label: v.Label, Title: v.Title, Description: v.Description, URL: v.URL,
		Event: v.Event, EventKey: v.EventKey, Ticket: v.Ticket, OpenID: v.OpenID, KfAccount: v.KfAccount,
		ScanType: v.ScanType, ScanResult: v.ScanResult,
	}
}

// stripForbidden is the documented sanitising, written down a second time: what XML 1.0 forbids is dropped.
func stripForbidden(body []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r < ' ' && !strings.ContainsRune("\t\n\r", r) || r == 0xFFFE || r == 0xFFFF {
			return -1
		}
		return r
	}, body)
}

func TestFixturesKeepTheirValues(t *testing.T) {
	m := loadManifest(t)
	a := m.plain(t)
	for file, want := range map[string]func(*Push) (got, want string){
		"messages/no_cdata.xml":                   func(p *Push) (string, string) { return p.Content, "a < b && c" },
		"messages/msgid_upper_case.xml":           func(p *Push) (string, string) { return p.MsgID[:4], "2523" },
		"messages/msgid_max_int64.xml":            func(p *Push) (string, string) { return p.MsgID, "9223372036854775807" },
		"messages/text_bizmsgmenu.xml":            func(p *Push) (string, string) { return p.MenuID, "101" },
		"messages/location.xml":                   func(p *Push) (string, string) { return p.LocationX + " " + p.LocationY, "30.572815 104.066801" },
		"messages/debug_tool_url_element.xml":     func(p *Push) (string, string) { return p.URL, "" },
		"messages/voice_recognition_empty.xml":    func(p *Push) (string, string) { return p.Recognition, "" },
		"messages/text_empty.xml":                 func(p *Push) (string, string) { return p.Content, "" },
		"messages/text_whitespace_only.xml":       func(p *Push) (string, string) { return strings.TrimSpace(p.Content), "" },
		"malformed/cdata_end_injection_split.xml": func(p *Push) (string, string) { return p.Content, "a]]>b" },
		"malformed/duplicate_elements.xml":        func(p *Push) (string, string) { return p.Content, "第一]]></Content><Content><![CDATA[第二" },
		"malformed/nul_byte.xml":                  func(p *Push) (string, string) { return p.Content, "ab" },
		"malformed/comment_and_pi.xml":            func(p *Push) (string, string) { return p.MsgType, "text" },
		"events/scancode_waitmsg.xml":             func(p *Push) (string, string) { return p.ScanType + " " + p.ScanResult, "barcode EAN_13,6900000000012" },
		"events/subscribe_scan.xml":               func(p *Push) (string, string) { return p.Scene(), "campaign_2026" },
		"events/kf_create_session.xml":            func(p *Push) (string, string) { return p.KfAccount, "test1@gh_3f1c9a7e52b0" },
		"events/user_authorization_revoke.xml":    func(p *Push) (string, string) { return p.OpenID, m.OpenID },
	} {
		t.Run(file, func(t *testing.T) {
			p, err := a.Open(plainQuery(m.Token, m.Now), readFixture(t, file), m.now())
			if err != nil {
				t.Fatal(err)
			}
			if got, want := want(p); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}
