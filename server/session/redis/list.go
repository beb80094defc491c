package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/wechatbot/wechatbot-operator/server/session"
)

const (
	// listTrips is how often a page asks for keys: in a Redis that has a great many of others, pages are short.
	listTrips = 50
	// listKeys is how many keys Redis looks at for one answer, at least.
	listKeys = 100
)

// List returns a page of sessions, by Redis' own walk over its keys. See session.Store.
func (p *Port) List(ctx context.Context, from string, about int) (session.Page, error) {
	const doing = "looking for sessions"
	var at uint64
	if from != "" {
		n, err := strconv.ParseUint(from, 10, 64)
		if err != nil {
			return session.Page{}, fmt.Errorf("%w: %q", session.ErrNoPage, from)
		}
		at = n
	}
	client, err := p.keeper(ctx)
	if err != nil {
		return session.Page{}, explain(doing, err)
	}
	var page session.Page
	for range listTrips {
		var records []string
		records, at, err = p.walk(ctx, client, at, about-len(page.Sessions))
		if err != nil {
			return session.Page{}, explain(doing, err)
		}
		some, err := p.list(ctx, client, records)
		if err != nil {
			return session.Page{}, explain(doing, err)
		}
		page.Sessions = append(page.Sessions, some...)
		if at == 0 || len(page.Sessions) >= about {
			break
		}
	}
	if at != 0 {
		page.Next = strconv.FormatUint(at, 10)
	}
	return page, nil
}

// keeper is the server that has the bot's keys.
func (p *Port) keeper(ctx context.Context) (redis.Cmdable, error) {
	if c, ok := p.client.(*redis.ClusterClient); ok {
		return c.MasterForKey(ctx, p.keys.bot)
	}
	return p.client, nil
}

// walk looks at some keys, and returns those of records and where to go on; 0 if that is the end.
func (p *Port) walk(ctx context.Context, client redis.Cmdable, at uint64, about int) (records []string, next uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, p.call)
	defer cancel()
	prefix := p.keys.record("")
	found, next, err := client.Scan(ctx, at, literal(prefix)+"*", int64(max(about, listKeys))).Result()
	if err != nil {
		return nil, 0, err
	}
	return found, next, nil
}

// literal has Redis take each byte of a pattern as it is.
var literal = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace

// list reads records without their texts. Those that are gone by now, and tombstones, are left out.
func (p *Port) list(ctx context.Context, client redis.Cmdable, records []string) ([]session.Listed, error) {
	if len(records) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.call)
	defer cancel()
	read := make([]*redis.MapStringStringCmd, len(records))
	_, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, key := range records {
			read[i] = pipe.HGetAll(ctx, key)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var all []session.Listed
	var errs error
	for _, one := range read {
		var fields reply
		for field, value := range one.Val() {
			fields = append(fields, field, value)
		}
		k, err := decode(fields)
		if err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		if k.openid != "" && !k.record.Tombstone() {
			all = append(all, k.record.Listed(k.openid))
		}
	}
	if len(all) == 0 { // one that makes no sense hides no other
		return nil, errs
	}
	return all, nil
}
