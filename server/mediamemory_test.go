package server

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wechatbot/wechatbot-operator/api/serverconfig"
	"github.com/wechatbot/wechatbot-operator/server/account"
	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/wechat/api"
	"github.com/wechatbot/wechatbot-operator/test/wechatsim"
)

// gallery is a host of one picture of 10 MB, and a Dify that takes it, over real connections.
type gallery struct {
	media   *followersMedia
	picture session.Media
	sized   bool

	wait    func() // of each upload, before its end
	uploads atomic.Int64
	now     atomic.Int64
	most    atomic.Int64
}

func newGallery(t *testing.T, sized bool) *gallery {
	t.Helper()
	g := &gallery{sized: sized, wait: func() {}}
	pictures := httptest.NewServer(http.HandlerFunc(g.give))
	t.Cleanup(pictures.Close)
	app := httptest.NewServer(http.HandlerFunc(g.take))
	t.Cleanup(app.Close)
	c := serverconfig.Default()
	c.WeChat.PictureHosts = []string{pictures.URL}
	client, err := dify.New(dify.Target{BaseURL: app.URL, Key: difyKey}, dify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	d := new(difySwitch)
	d.current.Store(client)
	official := account.New(account.Options{Metrics: account.NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler)}, account.Settings{})
	uploads, err := api.New(api.Options{BaseURL: app.URL, Credentials: func() (string, string) { return appID, appSecret }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(uploads.Close)
	official.Configure(account.Settings{Client: uploads, AppID: appID})
	c.Dify.FilesURL = pictures.URL
	if g.media, err = newFollowersMedia(official, d, files{config: c}); err != nil {
		t.Fatal(err)
	}
	g.picture = session.Media{Kind: "image", URL: pictures.URL + "/0"}
	return g
}

// give serves the picture piece by piece, so that this side of the test holds nothing of it.
func (g *gallery) give(w http.ResponseWriter, _ *http.Request) {
	if g.sized {
		w.Header().Set("Content-Length", strconv.Itoa(maxPicture))
	}
	piece := picture(64 << 10)
	for sent := 0; sent < maxPicture; sent += len(piece) {
		if _, err := w.Write(piece); err != nil {
			return
		}
	}
}

// take is Dify and WeChat: it takes uploads.
func (g *gallery) take(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == wechatsim.TokenPath {
		_, _ = w.Write([]byte(`{"access_token":"t","expires_in":7200}`))
		return
	}
	g.most.Store(max(g.most.Load(), g.now.Add(1)))
	defer g.now.Add(-1)
	n, _ := io.Copy(io.Discard, r.Body)
	g.wait()
	if n > maxPicture {
		g.uploads.Add(1)
	}
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == wechatsim.UploadPath {
		_, _ = w.Write([]byte(`{"type":"image","media_id":"f1"}`))
		return
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write([]byte(`{"id":"f1"}`))
}

// ways are those of a picture: from a follower to the app, and from the app to a follower. They give its id.
var ways = map[string]func(g *gallery) (string, error){
	"in": func(g *gallery) (string, error) {
		f, err := g.media.Attach(context.Background(), "oFollower", g.picture, true)
		return f.UploadFileID, err
	},
	"out": func(g *gallery) (string, error) {
		return g.media.Picture(context.Background(), session.File{Type: "image", URL: g.picture.URL})
	},
}

func TestPictureCostsTwiceItsSizeAtMost(t *testing.T) {
	for way, move := range ways {
		for name, sized := range map[string]bool{"of a size that is told": true, "of a size that nobody tells": false} {
			t.Run(way+" "+name, func(t *testing.T) {
				g := newGallery(t, sized)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				id, err := move(g)
				runtime.ReadMemStats(&after)
				if err != nil || id != "f1" || g.uploads.Load() != 1 {
					t.Fatalf("%q, %v, %d uploads", id, err, g.uploads.Load())
				}
				const around = 1 << 20 // connections, and what the test's own servers need
				if cost := after.TotalAlloc - before.TotalAlloc; cost > 2*maxPicture+around {
					t.Errorf("10 MB have cost %d bytes", cost)
				}
			})
		}
	}
}

// Of eight pictures at once, in and out, only those are held that the budget has room for; the others wait, and all arrive.
func TestPicturesAtOnceAreBounded(t *testing.T) {
	g := newGallery(t, true)
	var reached sync.WaitGroup
	reached.Add(2)
	release := make(chan struct{})
	first := atomic.Int64{}
	g.wait = func() {
		if first.Add(1) <= 2 {
			reached.Done()
		}
		<-release
	}
	var all sync.WaitGroup
	for range 4 {
		for _, move := range ways {
			all.Go(func() {
				if _, err := move(g); err != nil {
					t.Error(err)
				}
			})
		}
	}
	reached.Wait() // two hold the budget now
	close(release)
	all.Wait()
	if most := g.most.Load(); most > 2 || g.uploads.Load() != 8 {
		t.Errorf("%d pictures of 10 MB were held at once, and %d have arrived; want 2 and 8", most, g.uploads.Load())
	}
}
