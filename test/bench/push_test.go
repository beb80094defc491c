package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/wechat"
)

const (
	connections = 16 // that push at a time
	window      = 250 * time.Millisecond
	windows     = 8 // of each server, one after the other by turns
)

// request is a whole push on the wire.
func request(b testing.TB, secure bool, follower, text string, id int) []byte {
	b.Helper()
	now := strconv.FormatInt(time.Now().Unix(), 10)
	body := "<xml><ToUserName><![CDATA[" + originalID + "]]></ToUserName>\n<FromUserName><![CDATA[" + follower + "]]></FromUserName>\n<CreateTime>" +
		now + "</CreateTime>\n<MsgType><![CDATA[text]]></MsgType>\n<Content><![CDATA[" + text + "]]></Content>\n<MsgId>" + strconv.Itoa(id) + "</MsgId>\n</xml>"
	const nonce = "1372623149"
	query := "signature=" + wechat.Sign(token, now, nonce) + "&timestamp=" + now + "&nonce=" + nonce + "&openid=" + follower
	if secure {
		c, err := wechat.NewCipher(aesKey, appID)
		if err != nil {
			b.Fatal(err)
		}
		encrypt := c.Seal([16]byte([]byte("0123456789abcdef")), []byte(body))
		query += "&encrypt_type=aes&msg_signature=" + wechat.Sign(token, now, nonce, encrypt)
		body = "<xml><ToUserName><![CDATA[" + originalID + "]]></ToUserName>\n<Encrypt><![CDATA[" + encrypt + "]]></Encrypt>\n</xml>"
	}
	return fmt.Appendf(nil, "POST /wechat?%s HTTP/1.1\r\nHost: bot.example.com\r\nUser-Agent: Mozilla/4.0\r\nAccept: */*\r\n"+
		"Pragma: no-cache\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s", query, len(body), body)
}

// client pushes over one connection. It does as little as possible: what it costs is taken from the server.
type client struct {
	address string
	conn    net.Conn
	read    *bufio.Reader
}

func (c *client) connect() (err error) {
	if c.conn, err = net.Dial("tcp", c.address); err != nil { //nolint:noctx // loopback
		return err
	}
	c.readFrom(c.conn)
	return nil
}

func (c *client) readFrom(conn net.Conn) {
	if c.read == nil {
		c.read = bufio.NewReader(conn)
	}
	c.read.Reset(conn)
}

// push gives the length of the reply's body.
func (c *client) push(request []byte) (int, error) {
	if _, err := c.conn.Write(request); err != nil {
		return 0, err
	}
	length := 0
	for first := true; ; first = false {
		line, err := c.read.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
			return 0, fmt.Errorf("the server says %q", line)
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, err
			}
		}
		if len(line) == 2 {
			break
		}
	}
	_, err := c.read.Discard(length)
	return length, err
}

// load pushes to an address for one window and counts.
func load(b *testing.B, address string, request []byte, keep bool) int64 {
	b.Helper()
	var pushes atomic.Int64
	var all sync.WaitGroup
	failures := make(chan error, connections)
	stop := time.Now().Add(window)
	for range connections {
		all.Go(func() {
			c := client{address: address}
			for time.Now().Before(stop) {
				if c.conn == nil {
					if err := c.connect(); err != nil {
						failures <- err
						return
					}
				}
				if _, err := c.push(request); err != nil {
					failures <- err
					return
				}
				pushes.Add(1)
				if !keep {
					_ = c.conn.Close()
					c.conn = nil
				}
			}
			if c.conn != nil {
				_ = c.conn.Close()
			}
		})
	}
	all.Wait()
	close(failures)
	var err error
	for failure := range failures {
		err = errors.Join(err, failure)
	}
	if err != nil {
		b.Fatal(err)
	}
	return pushes.Load()
}

// BenchmarkPush compares our server with one that reads the same body and writes the same number of bytes, in windows by
// turns, so that what else the machine does meets both. /help asks nobody and is not deduplicated.
func BenchmarkPush(b *testing.B) {
	for _, mode := range []string{"plain", "secure"} {
		for _, conns := range []string{"kept", "new"} {
			b.Run(mode+"/"+conns, func(b *testing.B) { benchmarkPush(b, mode == "secure", conns == "kept") })
		}
	}
}

func benchmarkPush(b *testing.B, secure, keep bool) {
	push := request(b, secure, "oTk5q6WcY7bZr-0PqX2mN8sLdE4A", "/help", 1)
	if !keep {
		push = bytes.Replace(push, []byte("Accept:"), []byte("Connection: close\r\nAccept:"), 1)
	}
	bot := start(b, secure, "http://127.0.0.1:1/v1", "")
	c := client{address: bot.hook}
	if err := c.connect(); err != nil {
		b.Fatal(err)
	}
	length, err := c.push(push)
	if err != nil {
		b.Fatal(err)
	}
	bare := startBare(b, length)
	load(b, bot.hook, push, keep) // warm
	load(b, bare.hook, push, keep)

	var ours, theirs int64
	var ourCPU, theirCPU time.Duration
	rounds := 0
	for b.Loop() {
		rounds++
		for range windows {
			before := bare.cpu(b)
			theirs += load(b, bare.hook, push, keep)
			theirCPU += bare.cpu(b) - before
			before = bot.cpu(b)
			ours += load(b, bot.hook, push, keep)
			ourCPU += bot.cpu(b) - before
		}
	}
	seconds := (time.Duration(rounds) * windows * window).Seconds()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(ours)/seconds, "pushes/s")
	b.ReportMetric(float64(theirs)/seconds, "bare/s")
	b.ReportMetric(100*float64(ours)/float64(theirs), "%_of_bare")
	b.ReportMetric(float64(ourCPU.Microseconds())/float64(ours), "cpu-µs/push")
	b.ReportMetric(float64(theirCPU.Microseconds())/float64(theirs), "cpu-µs/bare")
}
