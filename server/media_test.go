package server

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wechatbot/wechatbot-operator/test/difysim"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// calls is a bot that knows its account.
const calls = minimal + "wechat: {appID: " + appID + "}\n"

// picture is a PNG of so many bytes.
func picture(size int) []byte {
	p := make([]byte, size)
	copy(p, "\x89PNG\r\n\x1a\n")
	return p
}

// seeing is an app that looks at pictures, and says how many it was given.
func (p *place) seeing(f difysim.Features) {
	p.dify.SetFeatures(f)
	p.dify.Script(func(r difysim.Request) difysim.Behaviour {
		var methods []string
		for _, file := range r.Files {
			methods = append(methods, file.TransferMethod)
		}
		return difysim.Behaviour{Answer: fmt.Sprintf("「%s」 %v", r.Query, methods)}
	})
}

// say sends a text, and wants a part of the reply.
func say(t *testing.T, f *wechatsim.Follower, text, want string) *wechatsim.Exchange {
	t.Helper()
	x, err := f.Send(t.Context(), text)
	return said(t, x, err, want)
}

func said(t *testing.T, x *wechatsim.Exchange, err error, want string) *wechatsim.Exchange {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(x.Text, want) {
		t.Errorf("got %q, want %q in it", x.Text, want)
	}
	return x
}

func (o *official) noViolations(t *testing.T) {
	t.Helper()
	if v := o.Violations(); len(v) != 0 {
		t.Errorf("rules of WeChat's broken: %v", v)
	}
}

const takesPictures = 2

func TestPictureWaitsForItsQuestion(t *testing.T) {
	for _, release := range []difysim.Release{difysim.V0_6_5, difysim.V1_12_1, difysim.V1_13_3} {
		for _, mode := range []difysim.Mode{difysim.Chat, difysim.Agent, difysim.Chatflow} {
			t.Run(fmt.Sprint(release, " ", mode), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					p := newPlace(t, calls)
					p.dify = difysim.New(difysim.Options{Release: release, Mode: mode})
					p.seeing(difysim.Features{Pictures: takesPictures})
					// A personal account has no API at all: pictures need none.
					o := p.runOfficial(t, wechatsim.PersonalSubscription)
					f := o.Follower("")
					x, err := f.Picture(t.Context(), picture(1000))
					x = said(t, x, err, "收到 1 张图片")
					x2, err := f.Picture(t.Context(), picture(2000))
					said(t, x2, err, "收到 2 张图片")
					x2, err = f.Picture(t.Context(), picture(3000))
					said(t, x2, err, "收到 2 张图片")
					if n := p.dify.CallCount(); n != 0 {
						t.Errorf("pictures alone have asked Dify %d times", n)
					}
					say(t, f, "哪个好？", "「哪个好？」 [local_file local_file]")
					say(t, f, "还有呢？", "「还有呢？」 []")
					for i, u := range p.dify.Uploads() {
						if u.User != f.OpenID() || u.Name != "picture.png" || u.Type != "image/png" || u.Size != int64(1000*(i+2)) {
							t.Errorf("upload %+v", u)
						}
					}
					x3, err := f.Picture(t.Context(), picture(4000))
					said(t, x3, err, "收到 1 张图片")
					x, err = f.Tap(t.Context(), x.Links[0])
					said(t, x, err, "「说说这张图片」 [local_file]")
					x, err = f.Picture(t.Context(), picture(5000))
					said(t, x, err, "收到 1 张图片")
					time.Sleep(10*time.Minute + time.Second)
					say(t, f, "很久以后", "「很久以后」 []")
					o.noViolations(t)
				})
			})
		}
	}
}

func TestPictureByItsAddress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, calls)
		p.seeing(difysim.Features{Pictures: 1, RemoteOnly: true})
		o := p.runOfficial(t, wechatsim.PersonalSubscription)
		f := o.Follower("")
		if _, err := f.Picture(t.Context(), picture(1000)); err != nil {
			t.Fatal(err)
		}
		say(t, f, "这是什么？", "[remote_url]")
		if files := p.dify.Calls()[0].Files; !strings.HasPrefix(files[0].URL, "http://mmbiz.qpic.cn/") || len(p.dify.Uploads()) != 0 {
			t.Errorf("Dify was given %v", files)
		}
		if _, err := f.Image(t.Context(), "http://169.254.169.254/latest"); err != nil {
			t.Fatal(err)
		}
		say(t, f, "这是什么？", "没有取到您发的图片")
		if n := p.dify.CallCount(); n != 1 {
			t.Errorf("Dify was called %d times: it was given an address that is not WeChat's", n)
		}
	})
}

// Each reason why a picture is of no use has its words, and the follower can go on.
func TestPictureIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		features difysim.Features
		data     []byte
		url      string // in place of data
		later    difysim.Features
		kept     bool
		want     string
	}{
		"the app takes none":                 {features: difysim.Features{}, data: picture(100), want: "我目前只能看懂文字消息"},
		"it stops to":                        {features: difysim.Features{Pictures: 1}, data: picture(100), later: difysim.Features{Pictures: 1, RemoteOnly: true}, kept: true, want: "我现在看不了图片"},
		"more than 10 MB":                    {features: difysim.Features{Pictures: 1}, data: picture(10<<20 + 1), kept: true, want: "图片太大了"},
		"more than this Dify takes":          {features: difysim.Features{Pictures: 1, UploadFault: "file_too_large.old.413"}, data: picture(100), kept: true, want: "图片太大了"},
		"no picture":                         {features: difysim.Features{Pictures: 1}, data: []byte("<html>"), kept: true, want: "这种格式的图片我看不了"},
		"a picture of a strange kind":        {features: difysim.Features{Pictures: 1}, data: []byte("BM\x00\x00\x00\x00 bitmap"), kept: true, want: "这种格式的图片我看不了"},
		"refused by its type":                {features: difysim.Features{Pictures: 1, UploadFault: "unsupported_file_type.415"}, data: picture(100), kept: true, want: "这种格式的图片我看不了"},
		"gone":                               {features: difysim.Features{Pictures: 1}, url: "http://mmbiz.qpic.cn/mmbiz_jpg/gone/0", kept: true, want: "没有取到您发的图片"},
		"not at WeChat's":                    {features: difysim.Features{Pictures: 1}, url: "http://pictures.example.com/a.png", kept: true, want: "没有取到您发的图片"},
		"at an address of the inner network": {features: difysim.Features{Pictures: 1}, url: "http://10.0.0.1/a.png", kept: true, want: "没有取到您发的图片"},
		"the upload fails":                   {features: difysim.Features{Pictures: 1, UploadFault: "unauthorized-bad-key.401"}, data: picture(100), kept: true, want: "机器人的设置有问题"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPlace(t, calls)
				p.seeing(c.features)
				o := p.runOfficial(t, wechatsim.PersonalSubscription)
				f := o.Follower("")
				url := c.url
				if url == "" {
					url = "http://mmbiz.qpic.cn/mmbiz_jpg/" + o.AddMedia(c.data) + "/0"
				}
				x, err := f.Image(t.Context(), url)
				if !c.kept {
					said(t, x, err, c.want)
					return
				}
				said(t, x, err, "收到 1 张图片")
				if c.later.Pictures > 0 {
					p.dify.SetFeatures(c.later)
				}
				say(t, f, "这是什么？", c.want)
				say(t, f, "换个问题", "「换个问题」 []")
				o.noViolations(t)
			})
		})
	}
}

// The same push reaches the server three times while Dify is slow: the picture is uploaded once.
func TestPictureIsUploadedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, calls)
		p.dify.SetFeatures(difysim.Features{Pictures: 1})
		p.dify.SetBehaviour(difysim.Behaviour{FirstText: 11 * time.Second, Answer: "一只猫"})
		o := p.runOfficial(t, wechatsim.PersonalSubscription)
		f := o.Follower("")
		if _, err := f.Picture(t.Context(), picture(1000)); err != nil {
			t.Fatal(err)
		}
		x := say(t, f, "这是什么？", "一只猫")
		if len(x.Deliveries) != 3 || len(p.dify.Uploads()) != 1 || p.dify.CallCount() != 1 {
			t.Errorf("%d deliveries, %d uploads, %d calls", len(x.Deliveries), len(p.dify.Uploads()), p.dify.CallCount())
		}
	})
}

// A Dify that is away for a moment costs the follower nothing.
func TestPictureIsUploadedWhenDifyIsBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, calls)
		p.seeing(difysim.Features{Pictures: 1, UploadFault: "nginx-bad-gateway.502"})
		o := p.runOfficial(t, wechatsim.PersonalSubscription)
		f := o.Follower("")
		if _, err := f.Picture(t.Context(), picture(1000)); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(3*time.Second, func() { p.dify.SetFeatures(difysim.Features{Pictures: 1}) })
		say(t, f, "这是什么？", "[local_file]")
	})
}

// message is the document of a message that a follower cannot be made to send otherwise.
func message(f *wechatsim.Follower, kind, fields string) string {
	return "<xml><ToUserName>" + wechatsim.DefaultOriginalID + "</ToUserName><FromUserName>" + f.OpenID() + "</FromUserName><CreateTime>1</CreateTime><MsgType>" + kind + "</MsgType>" +
		fields + "<MsgId>" + strconv.FormatInt(time.Now().UnixNano(), 10) + "</MsgId></xml>"
}

const heard = "我的订单在哪里？"

func TestVoiceIsUnderstood(t *testing.T) {
	for _, kind := range []wechatsim.AccountKind{wechatsim.VerifiedService, wechatsim.VerifiedSubscription, wechatsim.TestAccount} {
		t.Run(kind.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPlace(t, calls)
				p.dify.SetFeatures(difysim.Features{Heard: heard})
				o := p.runOfficial(t, kind)
				f := o.Follower("")
				amr := wechatsim.SampleAMR(3 * time.Second)
				x, err := f.Record(t.Context(), amr)
				said(t, x, err, heard+"\n------------\n回答「"+heard)
				got := p.dify.Recordings()
				if len(got) != 1 || got[0].User != f.OpenID() || got[0].Name != "voice.amr" || got[0].Type != "audio/amr" || got[0].Size != int64(len(amr)) {
					t.Errorf("Dify was given %+v", got)
				}
				if s := o.status(t); s.Voice.LastError != "" || s.Account.Capabilities.Media != "yes" {
					t.Errorf("status %+v", s)
				}
				say(t, f, "1", "回答「"+heard) // shown again
				o.noViolations(t)
			})
		})
	}
}

// What WeChat recognised itself is taken, on every kind of account, without any call.
func TestVoiceWithRecognition(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newPlace(t, calls).runOfficial(t, wechatsim.PersonalSubscription)
		f := o.Follower("")
		x, err := f.Push(t.Context(), message(f, "voice", "<MediaId>m</MediaId><Format>amr</Format><Recognition><![CDATA["+heard+"]]></Recognition>"))
		said(t, x, err, heard+"\n------------\n回答「"+heard)
	})
}

// Whatever is wrong, the follower is asked to type, and the platform team told why: once in the log, and in the status.
func TestVoiceIsNotUnderstood(t *testing.T) {
	const please = "请打字告诉我"
	gone := wechatsim.Order{API: wechatsim.DownloadPath, Code: 40007}
	for name, c := range map[string]struct {
		config   string
		kind     wechatsim.AccountKind
		features difysim.Features
		order    *wechatsim.Order
		nothing  bool // WeChat has no such file
		cause    string
	}{
		"the app does not hear":            {features: difysim.Features{}, cause: "the app's speech-to-text is switched off"},
		"its model is not there":           {features: difysim.Features{Heard: heard, HearFault: "provider_not_support_speech_to_text.400"}, cause: "dify: audio-to-text: ModelMisconfigured, status 400, code provider_not_support_speech_to_text"},
		"the model refuses AMR":            {features: difysim.Features{Heard: heard, HearFault: "unsupported_audio_type.415"}, cause: "dify: audio-to-text: InvalidParam, status 415, code unsupported_audio_type"},
		"an account that may not download": {kind: wechatsim.UnverifiedService, features: difysim.Features{Heard: heard}, cause: "wechat: /cgi-bin/media/get: NotEntitled, errcode 48001"},
		"the recording has gone":           {features: difysim.Features{Heard: heard}, order: &gone, cause: "wechat: /cgi-bin/media/get: MediaGone, errcode 40007"},
		"no address on the list":           {features: difysim.Features{Heard: heard}, order: &wechatsim.Order{API: wechatsim.DownloadPath, Code: 40164}, cause: "wechat: /cgi-bin/media/get: IPNotListed, errcode 40164"},
		"nothing is there":                 {features: difysim.Features{Heard: heard}, nothing: true, cause: "wechat: /cgi-bin/media/get: MediaGone, errcode 40007"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPlace(t, calls)
				p.dify.SetFeatures(c.features)
				o := p.runOfficial(t, c.kind)
				if c.order != nil {
					o.Order(*c.order)
				}
				f := o.Follower("")
				ask := func() (*wechatsim.Exchange, error) { return f.Record(t.Context(), wechatsim.SampleAMR(time.Second)) }
				if c.nothing {
					ask = func() (*wechatsim.Exchange, error) { return f.Voice(t.Context()) }
				}
				for range 3 {
					x, err := ask()
					said(t, x, err, please)
				}
				cause := o.status(t).Voice.LastError
				if !strings.HasPrefix(cause, c.cause) && !strings.Contains(cause, "may not download") {
					t.Errorf("the status says %q, want %q", cause, c.cause)
				}
				told := map[bool]int{true: 2, false: 1}[name == "an account that may not download"] // which is known from then on
				if n := p.lines("A voice message was not understood"); n != told || p.lines(c.cause) == 0 {
					t.Errorf("the log has %d lines about it, want %d: %s", n, told, p.log)
				}
				say(t, f, "打字的问题", "回答「打字的问题")
				o.noViolations(t)
			})
		})
	}
}

// Every error number at the download leaves the follower an answer.
func TestVoice_EveryErrorIsAnswered(t *testing.T) {
	for _, code := range []int{-1, 40001, 40003, 40004, 40007, 40013, 40014, 40125, 40164, 40243, 41001, 42001, 45009, 45011, 48001, 48004, 50002, 99999} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPlace(t, calls)
				p.dify.SetFeatures(difysim.Features{Heard: heard})
				o := p.runOfficial(t, wechatsim.VerifiedService)
				o.Order(wechatsim.Order{API: wechatsim.DownloadPath, Code: code})
				f := o.Follower("")
				x, err := f.Record(t.Context(), wechatsim.SampleAMR(time.Second))
				said(t, x, err, "请打字告诉我")
				o.CancelOrder(0)
				time.Sleep(time.Minute)
				if code == 48001 {
					return // it is known for a day
				}
				x, err = f.Record(t.Context(), wechatsim.SampleAMR(time.Second))
				said(t, x, err, "回答「"+heard)
				o.noViolations(t)
			})
		})
	}
}

// A pushed answer says what was understood as well.
func TestVoiceIsAnsweredByAPush(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, pushes)
		p.dify.SetFeatures(difysim.Features{Heard: heard})
		p.dify.SetBehaviour(difysim.Behaviour{FirstText: 8 * time.Second, Length: 40})
		o := p.runOfficial(t, wechatsim.VerifiedService)
		f := o.Follower("")
		if x, err := f.Record(t.Context(), wechatsim.SampleAMR(time.Second)); err != nil || x.Text != "" {
			t.Fatalf("%+v, %v", x, err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		got := f.Transcript()
		if len(got) != 2 || !strings.HasPrefix(got[1].Text, heard+"\n------------\n回答「"+heard) {
			t.Errorf("the follower sees %+v", got)
		}
		o.noViolations(t)
	})
}

func TestLinkAndPlaceAreQuestions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, calls)
		o := p.runOfficial(t, wechatsim.PersonalSubscription)
		f := o.Follower("")
		x, err := f.Location(t.Context(), "31.23", "121.47", "上海市人民广场")
		said(t, x, err, "回答「我的位置：上海市人民广场（纬度 31.23，经度 121.47）")
		x, err = f.Push(t.Context(), message(f, "link", "<Title>/clear</Title><Description></Description><Url>https://example.com/{{title}}</Url>"))
		said(t, x, err, "回答「请看这个链接：/clear\nhttps://example.com/{{title}}」")
		time.Sleep(time.Second)
		for _, kind := range []string{"video", "shortvideo", "file"} {
			x, err = f.Push(t.Context(), message(f, kind, "<MediaId>m</MediaId>"))
			said(t, x, err, "我目前只能看懂文字消息")
		}
	})
}

// Hosts are taken from a changed file, and a host that is none is refused with the rest of it.
func TestPictureHostsAreReloaded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPlace(t, calls)
		p.seeing(difysim.Features{Pictures: 1})
		o := p.runOfficial(t, wechatsim.PersonalSubscription)
		f := o.Follower("")
		ask := func(want string) {
			t.Helper()
			if _, err := f.Picture(t.Context(), picture(100)); err != nil {
				t.Fatal(err)
			}
			say(t, f, "这是什么？", want)
		}
		p.write(t, "bot.yaml", minimal+"wechat: {appID: "+appID+", pictureHosts: [pictures.internal]}\n")
		time.Sleep(10 * time.Second)
		if p.lines("wechat.pictureHosts") != 1 {
			t.Errorf("the host is not refused: %s", p.log)
		}
		ask("[local_file]")
		p.write(t, "bot.yaml", minimal+"wechat: {appID: "+appID+", pictureHosts: [mirror.example.com]}\n")
		time.Sleep(10 * time.Second)
		ask("没有取到您发的图片")
	})
}
