package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"

	"github.com/wechatbot/wechatbot-operator/api/serverstatus"
	"github.com/wechatbot/wechatbot-operator/server/account"
	"github.com/wechatbot/wechatbot-operator/server/dify"
	"github.com/wechatbot/wechatbot-operator/server/media"
	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/turn"
	"github.com/wechatbot/wechatbot-operator/server/wechat/api"
)

const (
	maxPicture   = 10 << 20 // bytes, as WeChat and Dify have it
	maxRecording = 2 << 20  // bytes; 60 s of WeChat's own recordings have a tenth
)

// followersMedia reads what followers send besides words: it is what turn.Options need. Of all files that are held at a time
// the Fetcher bounds the bytes.
type followersMedia struct {
	fetcher  *media.Fetcher
	account  *account.Account
	dify     *difySwitch
	pictures atomic.Pointer[media.Policy] // where they may be fetched
	made     atomic.Pointer[made]
}

// made is where what an app makes may be fetched.
type made struct {
	policy media.Policy
	root   *url.URL // of relative addresses
}

var _ turn.Media = (*followersMedia)(nil)

func newFollowersMedia(a *account.Account, d *difySwitch, f files) (*followersMedia, error) {
	m := &followersMedia{fetcher: media.New(media.Options{UserAgent: "wechatbot-server"}), account: a, dify: d}
	err := m.configure(f)
	return m, err
}

// configure puts other hosts in force, all or none.
func (m *followersMedia) configure(f files) error {
	c := f.config
	pictures, err := media.Hosts(c.WeChat.PictureHosts...)
	if err != nil {
		return fmt.Errorf("wechat.pictureHosts: %w", err)
	}
	to := new(made)
	if to.policy, err = madeAt(f); err != nil {
		return err
	}
	if to.root, err = url.Parse(cmp.Or(c.Dify.FilesURL, c.Dify.BaseURL)); err != nil {
		return fmt.Errorf("dify.filesURL: %w", err)
	}
	m.pictures.Store(&pictures)
	m.made.Store(to)
	return nil
}

// madeAt is where what an app makes may be fetched: at Dify's own addresses, whose certificate may be of Dify's own authorities, and on
// the Internet.
func madeAt(f files) (media.Policy, error) {
	policy, err := media.Internet(f.config.Dify.BaseURL, f.config.Dify.FilesURL)
	if err != nil {
		return policy, fmt.Errorf("dify.filesURL: %w", err)
	}
	if len(f.secrets.DifyCA) == 0 {
		return policy, nil
	}
	roots, err := dify.CertPool(f.secrets.DifyCA)
	if err != nil {
		return policy, fmt.Errorf("dify-ca.crt: %w", err)
	}
	return policy.WithRoots(roots), nil
}

// Attach uploads a picture to the app.
func (m *followersMedia) Attach(ctx context.Context, follower string, picture session.Media, upload bool) (dify.File, error) {
	policy := *m.pictures.Load()
	if !upload {
		if !policy.Allows(picture.URL) {
			return dify.File{}, &turn.MediaError{Failure: turn.PictureLost, Err: &media.Error{Kind: media.NotAllowed}}
		}
		return dify.File{Type: "image", TransferMethod: "remote_url", URL: picture.URL}, nil
	}
	file, err := m.fetcher.Fetch(ctx, media.Request{URL: picture.URL, Policy: policy, MaxBytes: maxPicture, Types: []string{"image/"}})
	if err != nil {
		return dify.File{}, &turn.MediaError{Failure: pictureFailure(err), Err: err}
	}
	defer file.Release()
	if !dify.TakesPicture(file.Type) {
		return dify.File{}, &turn.MediaError{Failure: turn.PictureUnreadable, Err: &media.Error{Kind: media.WrongType}}
	}
	id, err := m.dify.UploadPicture(ctx, follower, file.Type, file.Data)
	switch dify.KindOf(err) {
	case "":
		return dify.File{Type: "image", TransferMethod: "local_file", UploadFileID: id}, err
	case dify.TooLarge:
		return dify.File{}, &turn.MediaError{Failure: turn.PictureTooLarge, Err: err}
	case dify.InvalidParam:
		return dify.File{}, &turn.MediaError{Failure: turn.PictureUnreadable, Err: err}
	default:
		return dify.File{}, err //nolint:wrapcheck // the engine sorts Dify's errors
	}
}

// pictureFailure is what the follower is told of a picture that could not be fetched.
func pictureFailure(err error) turn.Failure {
	switch media.KindOf(err) {
	case media.TooLarge:
		return turn.PictureTooLarge
	case media.WrongType:
		return turn.PictureUnreadable
	default:
		return turn.PictureLost
	}
}

var (
	errNoAppSecret   = errors.New("there is no AppSecret: WeChat gives voice messages only to who has it")
	errNoMedia       = errors.New("this kind of account may not download voice messages")
	errStrangeFormat = errors.New("the recording is of a format that Dify does not take")
	errNoRecording   = errors.New("WeChat sent no recording with the voice message")
)

// Hears tells whether recordings can be had.
func (m *followersMedia) Hears() error {
	switch {
	case m.account.Client() == nil:
		return errNoAppSecret
	case m.account.Can(account.Media) == serverstatus.No:
		return errNoMedia
	default:
		return nil
	}
}

// Hear gives the words of the first recording that WeChat has.
func (m *followersMedia) Hear(ctx context.Context, follower string, recordings []session.Media) (string, error) {
	client := m.account.Client()
	if client == nil {
		return "", errNoAppSecret
	}
	file, err := m.recording(ctx, client, recordings)
	if err != nil {
		return "", err
	}
	defer file.Release()
	if !dify.TakesRecording(file.Type) {
		return "", errStrangeFormat
	}
	return m.dify.AudioToText(ctx, follower, file.Type, file.Data)
}

// recording downloads the first recording that can be had, of a format that Dify takes if there is one.
func (m *followersMedia) recording(ctx context.Context, client *api.Client, recordings []session.Media) (*media.File, error) {
	failed := errNoRecording
	for i, r := range recordings {
		file, err := m.download(ctx, client, r.ID)
		switch {
		case err == nil && !dify.TakesRecording(file.Type) && i < len(recordings)-1:
			file.Release()
			continue
		case err == nil:
			return file, nil
		}
		failed = err
		if api.KindOf(err) != api.MediaGone && api.KindOf(err) != api.BadAnswer {
			break
		}
	}
	return nil, failed
}

func (m *followersMedia) download(ctx context.Context, client *api.Client, id string) (*media.File, error) {
	d, err := client.DownloadMedia(ctx, id, maxRecording)
	if e, ok := errors.AsType[*api.Error](err); ok {
		same := *e
		same.RID = "" // of each request another: the cause is told once, and the account's log has them
		return nil, &same
	}
	file, err := m.fetcher.Hold(ctx, d.Body, d.Size, maxRecording)
	_ = d.Body.Close() // it was read
	return file, err
}
