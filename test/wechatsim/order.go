package wechatsim

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Order makes calls of the server API go wrong, or slow. One that names neither Code, Status, Body, Lose nor Refuse only delays.
type Order struct {
	// API is the call's path, or how it ends, such as message/custom/send; empty is every call.
	API string `json:"api,omitempty"`
	// OpenID narrows it to calls about one follower.
	OpenID string `json:"openid,omitempty"`
	// Skip lets that many calls pass first; Times ends it after so many more, 0 never.
	Skip  int `json:"skip,omitempty"`
	Times int `json:"times,omitempty"`

	// Code is an errcode to answer with, beside the text that real servers have for it.
	Code int `json:"code,omitempty"`
	// Status and Body are an answer that is not WeChat's: Status 0 with a Body is 200.
	Status int    `json:"status,omitempty"`
	Body   string `json:"body,omitempty"`
	// Empty answers with status 200 and nothing.
	Empty bool `json:"empty,omitempty"`
	// Lose breaks the connection in place of an answer, Refuse before the request was read.
	Lose   bool `json:"lose,omitempty"`
	Refuse bool `json:"refuse,omitempty"`
	// Applied does what the call asks for first: the answer alone is lost, or wrong.
	Applied bool `json:"applied,omitempty"`
	// Delay comes before everything else.
	Delay time.Duration `json:"delay,omitempty"`
}

// instead says whether the call's own answer is replaced.
func (o *Order) instead() bool {
	return o.Code != 0 || o.Status != 0 || o.Body != "" || o.Empty || o.Lose || o.Refuse
}

// check says what is wrong with an order.
func (o *Order) check() error {
	switch {
	case o.Skip < 0, o.Times < 0, o.Delay < 0:
		return errors.New("order: a number or duration is negative")
	case o.Status != 0 && (o.Status < 200 || o.Status > 599):
		return fmt.Errorf("order: there is no status %d", o.Status)
	}
	return nil
}

// standingOrder is one that calls may still meet.
type standingOrder struct {
	Order

	id int
}

// Order gives an order; calls meet the first of those that are about them. It returns what CancelOrder takes.
func (p *Platform) Order(o Order) (id int) {
	s := p.server
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orderID++
	s.orders = append(s.orders, &standingOrder{o, s.orderID})
	return s.orderID
}

// CancelOrder ends an order, and all of them for 0.
func (p *Platform) CancelOrder(id int) {
	s := p.server
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orders = slices.DeleteFunc(s.orders, func(o *standingOrder) bool { return id == 0 || o.id == id })
}

// Orders are those that calls may still meet, with what is left of Skip and Times.
func (p *Platform) Orders() []Order {
	s := p.server
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Order, len(s.orders))
	for i, o := range s.orders {
		list[i] = o.Order
	}
	return list
}

// matching says which orders are looked at: a call's body, and so whom it is about, is read behind those that refuse it.
type matching bool

const (
	matchBeforeBody matching = true
	matchWithBody   matching = false
)

// orderFor gives the order that a call meets, if any, and counts it.
func (s *server) orderFor(c *call, before matching) *Order {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, o := range s.orders {
		if !strings.HasSuffix(c.api, o.API) || o.OpenID != "" && o.OpenID != c.openid || bool(before) != o.Refuse {
			continue
		}
		if o.Skip > 0 {
			o.Skip--
			return nil
		}
		met := o.Order
		if o.Times > 0 {
			o.Times--
			if o.Times == 0 {
				s.orders = slices.Delete(s.orders, i, i+1)
			}
		}
		return &met
	}
	return nil
}

// misbehave answers as ordered.
func (s *server) misbehave(w http.ResponseWriter, c *call, o *Order, start time.Time) {
	switch {
	case o.Lose:
		s.called(c, start, lostAnswer)
		panic(http.ErrAbortHandler)
	case o.Status != 0 || o.Body != "" || o.Empty:
		w.Header().Set("Content-Type", "text/html")
		if o.Status != 0 {
			w.WriteHeader(o.Status)
		}
		_, _ = w.Write([]byte(o.Body))
		s.called(c, start, lostAnswer)
	default:
		s.write(w, c, refuse(o.Code))
		s.called(c, start, o.Code)
	}
}

// lostAnswer is counted in place of an errcode that the caller never got.
const lostAnswer = -1000
