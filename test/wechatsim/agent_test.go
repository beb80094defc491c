package wechatsim

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// desk is an account whose server hands over whoever writes 人工, and notes what is pushed.
type desk struct {
	*caller

	mu     sync.Mutex
	pushes []string // MsgType or Event, with the agent
}

func newDesk(t *testing.T, agent string) *desk {
	t.Helper()
	d := &desk{}
	account := newAccount(t, func(w http.ResponseWriter, _ *http.Request, in inbound) {
		d.mu.Lock()
		defer d.mu.Unlock()
		pushed := in.Content
		if in.MsgType == "event" {
			pushed = strings.TrimSpace(in.Event + " " + in.KfAccount)
		}
		d.pushes = append(d.pushes, pushed)
		if in.Content != "人工" {
			_, _ = fmt.Fprint(w, "success")
			return
		}
		info := ""
		if agent != "" {
			info = "<TransInfo><KfAccount><![CDATA[" + agent + "]]></KfAccount></TransInfo>"
		}
		_, _ = fmt.Fprintf(w, "<xml><ToUserName>%s</ToUserName><FromUserName>%s</FromUserName><CreateTime>1</CreateTime>"+
			"<MsgType>transfer_customer_service</MsgType>%s</xml>", in.FromUserName, in.ToUserName, info)
	})
	a := testAccount(Plain)
	a.AppSecret = testSecret
	p := simulate(t, a, Options{}, account)
	d.caller = &caller{T: t, Platform: p, transport: HandlerTransport(p.API())}
	t.Cleanup(func() { d.transport.Wait(); p.Wait() })
	d.token = d.fetchToken()
	return d
}

// pushed gives what was pushed since it was asked last, once all of it has been.
func (d *desk) pushed() []string {
	d.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.pushes
	d.pushes = nil
	return p
}

func (d *desk) expect(want ...string) {
	d.Helper()
	// What happens beside each other comes in any order.
	if diff := cmp.Diff(want, d.pushed(), cmpopts.SortSlices(strings.Compare)); diff != "" {
		d.Errorf("pushes (-want +got):\n%s", diff)
	}
}

func TestAgents_Session(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "")
		d.SetAgents([]Agent{{"bo@shop", false, 5}, {"anna@shop", true, 1}})
		f := d.Follower(testOpenID)
		must(f.Send(t.Context(), "人工"))
		d.expect("人工", "kf_create_session anna@shop")
		if agent, queued := d.Serving(testOpenID); agent != "anna@shop" || queued {
			t.Errorf("served by %q, waits %v", agent, queued)
		}
		if x := must(f.Send(t.Context(), "在吗")); x.Outcome != Served || len(x.Deliveries) != 0 {
			t.Errorf("a message to the agent: %s, %d deliveries", x.Outcome, len(x.Deliveries))
		}
		must(f.Click(t.Context(), "help")) // events are pushed on
		d.expect("CLICK")
		if !d.AgentSays(testOpenID, "在的") {
			t.Error("nobody serves")
		}
		if b := f.Transcript(); b[len(b)-1].From != FromAgent || b[len(b)-1].Text != "在的" || b[len(b)-1].Agent != "anna@shop" {
			t.Errorf("the follower sees %+v", b[len(b)-1])
		}
		if got := d.text(testOpenID, "x"); got != 0 {
			t.Errorf("a send meanwhile: %d", got)
		}
		d.violations(map[Violation]int{SentOverAgent: 1})
		answer := d.get(sessionPath + "?openid=" + testOpenID)
		if answer["kf_account"] != "anna@shop" || answer["createtime"] == 0.0 {
			t.Errorf("getsession: %v", answer)
		}
		list, _ := d.get(OnlinePath)["kf_online_list"].([]any)
		if len(list) != 1 || list[0].(map[string]any)["accepted_case"] != 1.0 {
			t.Errorf("getonlinekflist: %v", list)
		}
		if !d.CloseSession(testOpenID) || d.CloseSession(testOpenID) || d.AgentSays(testOpenID, "x") {
			t.Error("closing")
		}
		d.expect("kf_close_session anna@shop")
		must(f.Send(t.Context(), "再问"))
		d.expect("再问")
	})
}

func TestAgents_SessionEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "")
		d.SetAgents([]Agent{{"anna@shop", true, 1}})
		f := d.Follower(testOpenID)
		must(f.Send(t.Context(), "人工"))
		d.pushed()
		time.Sleep(20 * time.Minute)
		must(f.Send(t.Context(), "在吗"))
		time.Sleep(sessionIdle - time.Second)
		if agent, _ := d.Serving(testOpenID); agent == "" {
			t.Error("it ended too early")
		}
		time.Sleep(2 * time.Second)
		d.expect("kf_close_session anna@shop")
	})
}

func TestAgents_Queue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "")
		d.SetAgents([]Agent{{"anna@shop", true, 1}})
		for _, openid := range []string{"oFirst", "oSecond", "oThird"} {
			must(d.Follower(openid).Send(t.Context(), "人工"))
			must(d.Follower(openid).Send(t.Context(), "人工")) // the second goes to the agent, or changes nothing
		}
		d.expect("人工", "kf_create_session anna@shop", "人工", "人工", "人工", "人工")
		if _, queued := d.Serving("oSecond"); !queued {
			t.Error("the second does not wait")
		}
		waiting := d.get(waitingPath)
		list, _ := waiting["waitcaselist"].([]any)
		if waiting["count"] != 2.0 || len(list) != 2 || list[0].(map[string]any)["openid"] != "oSecond" {
			t.Errorf("getwaitcase: %v", waiting)
		}
		if x := must(d.Follower("oSecond").Send(t.Context(), "还要等吗")); x.Outcome != Silent { // who waits is pushed
			t.Errorf("who waits: %s", x.Outcome)
		}
		d.pushed()
		if d.Accept("oSecond", "nobody@shop") || !d.Accept("oSecond", "anna@shop") || d.Accept("oSecond", "anna@shop") {
			t.Error("accepting")
		}
		d.expect("kf_create_session anna@shop")
		d.SetAgents([]Agent{{"anna@shop", true, 1}, {"bo@shop", true, 1}})
		d.expect("kf_create_session bo@shop")
		must(d.Follower("oThird").Unfollow(t.Context()))
		if agent, queued := d.Serving("oThird"); agent != "" || queued {
			t.Errorf("who has left is served by %q, waits %v", agent, queued)
		}
		d.expect("unsubscribe")
		for _, openid := range []string{"oFirst", "oSecond"} {
			d.CloseSession(openid)
		}
	})
}

// A named agent who is not there gets the follower all the same, and nobody else does.
func TestAgents_Named(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "bo@shop")
		d.SetAgents([]Agent{{"anna@shop", true, 9}, {"bo@shop", false, 9}})
		must(d.Follower(testOpenID).Send(t.Context(), "人工"))
		d.expect("人工")
		d.SetAgents([]Agent{{"anna@shop", true, 9}})
		if _, queued := d.Serving(testOpenID); !queued {
			t.Error("another agent took the follower")
		}
		d.SetAgents([]Agent{{"bo@shop", true, 9}})
		d.expect("kf_create_session bo@shop")
		d.CloseSession(testOpenID)
	})
}

func TestAgents_None(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "")
		f := d.Follower(testOpenID)
		must(f.Send(t.Context(), "人工"))
		for _, path := range []string{OnlinePath, waitingPath, sessionPath + "?openid=" + testOpenID} {
			if got := code(d.get(path)); got != 65400 {
				t.Errorf("%s: %d, want 65400", path, got)
			}
		}
		d.SetAgents([]Agent{})
		if got := code(d.get(OnlinePath)); got != 0 {
			t.Errorf("with nobody online: %d", got)
		}
		if got := code(d.get(sessionPath + "?openid=oNobody")); got != 40003 {
			t.Errorf("of nobody: %d", got)
		}
		if answer := d.get(sessionPath + "?openid=" + testOpenID); answer["kf_account"] != "" {
			t.Errorf("of nobody's: %v", answer)
		}
		d.SetKind(PersonalSubscription)
		must(f.Send(t.Context(), "人工"))
		d.violations(map[Violation]int{TransferredNobody: 2})
	})
}
