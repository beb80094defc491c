package configmap

import (
	"context"
	"errors"
	"time"

	"github.com/wechatbot/wechatbot-operator/server/session"
	"github.com/wechatbot/wechatbot-operator/server/session/configmap/kubeapi"
)

// noteAnnotation is on the first shard: what the holder of the account's duty has noted.
const noteAnnotation = "wechatbot.dev/duty-note"

// errMadeAnew says that a ConfigMap has lost what this process wrote into it.
var errMadeAnew = errors.New("the ConfigMap has been made anew, and is not written yet")

// HoldDuty takes or renews the account's duty. See session.Store. The process that has the sessions has the duty too, as
// long as the API server confirms that no other has taken them. One that has taken them from a process that had not given
// them up lets that one's time pass first.
func (p *port) HoldDuty(ctx context.Context, lasts time.Duration) (session.Duty, error) {
	if p.isElsewhere() {
		return session.Duty{}, nil
	}
	m, err := p.enter(ctx, false)
	if err != nil {
		return session.Duty{}, err
	}
	began := time.Now()
	meta, err := p.confirm(ctx)
	if err != nil {
		return session.Duty{}, err
	}
	note := meta.Annotations[noteAnnotation]
	if p.unreleased && began.Before(p.tookOver.Add(lasts)) {
		return session.Duty{Note: note}, nil
	}
	if _, err := m.HoldDuty(ctx, lasts); err != nil {
		return session.Duty{}, err
	}
	return session.Duty{Until: began.Add(lasts), Note: note}, nil
}

// isElsewhere tells whether another process is known to have the sessions.
func (p *port) isElsewhere() bool {
	select {
	case <-p.loaded:
		return errors.Is(p.over(), session.ErrElsewhere)
	default:
		return p.other.Load() != nil
	}
}

// confirm asks the API server whether the first shard is still this process' own.
func (p *port) confirm(ctx context.Context) (kubeapi.Metadata, error) {
	first := p.shards[0]
	meta, held, err := first.look(ctx, requestTimeout)
	if err == nil && held != first.me() {
		first.dirty.Or(allBlocks)
		first.nudge()
		err = errMadeAnew
	}
	return meta, err
}

// ReleaseDuty gives the account's duty up. See session.Store. Another process can take it once the store is closed.
func (p *port) ReleaseDuty(ctx context.Context) error {
	if p.isElsewhere() {
		return nil
	}
	m, err := p.enter(ctx, false)
	if err != nil {
		return err
	}
	return m.ReleaseDuty(ctx)
}

// NoteDuty replaces the note. See session.Store.
func (p *port) NoteDuty(ctx context.Context, note string) error {
	if p.isElsewhere() {
		return session.ErrLeaseLost
	}
	m, err := p.enter(ctx, false)
	if err != nil {
		return err
	}
	if err := m.NoteDuty(ctx, note); err != nil {
		return err
	}
	for try := 1; ; try++ {
		err := p.writeNote(ctx, note)
		if !kubeapi.IsConflict(err) || try == maxConflicts {
			return err
		}
	}
}

// writeNote writes the note into the first shard, if that is as it was when it was found to be this process' own. The
// shard's writer notices that its metadata have changed.
func (p *port) writeNote(ctx context.Context, note string) error {
	meta, err := p.confirm(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err = p.options.API.Patch(ctx, p.options.Namespace, p.shards[0].name, kubeapi.ConfigMap{Metadata: kubeapi.Metadata{
		ResourceVersion: meta.ResourceVersion, Annotations: map[string]string{noteAnnotation: note},
	}})
	return err
}
