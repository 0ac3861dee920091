package redisstore

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"berth/lease"
	"berth/lease/clock"
	"berth/lease/remote/client"
	"berth/lease/retry"
)

// holding is a lease of ours.
type holding struct {
	s     *Store
	own   lease.Request // as it was requested
	key   string        // of our adoption; "": the lease is ours itself
	since string        // on the server's clock
	start string        // its start, as the server wrote it; "": not known

	mu      sync.Mutex
	lease   lease.Lease
	run     string // the process of the server that last knew this lease
	expires clock.Instant
	// keepalive is when the job last called, on our clock, and keepaliveText the same as the
	// server wrote it.
	keepalive     clock.Instant
	keepaliveText string
	unsure        bool // a step that takes something was not answered, and may still arrive
	released      bool
}

// leaseOf makes a lease of a request and what was granted to it.
func leaseOf(r lease.Request, own lease.Settings, token, limit, since, slots string) (lease.Lease, error) {
	l := lease.Lease{Version: lease.Version, Request: r, RequestedLimit: r.Limit, State: lease.Reserved}
	l.Conditions = lease.Conditions{Need: r.Needs(own)}
	var err error
	if l.Token, err = strconv.ParseUint(token, 10, 64); err == nil {
		l.InForce, err = strconv.Atoi(limit)
	}
	l.Since = time.UnixMicro(parseMicros(since).Microseconds())
	for n := range strings.SplitSeq(slots, ",") {
		slot, e := strconv.Atoi(n)
		if e != nil {
			err = e
		}
		l.Slots = append(l.Slots, slot)
	}
	if err != nil {
		return l, fmt.Errorf("cannot read what was granted to %s: %w", r.ID, err)
	}
	return l, nil
}

// holding makes a holding of what was granted. It counts from sent, when the last heartbeat
// was.
func (s *Store) holding(r lease.Request, own lease.Settings, a answer, sent clock.Instant, unsure bool) (lease.Holding, error) {
	f := append(strings.SplitN(a.text(atGrant), " ", 5), "", "", "", "", "")
	l, err := leaseOf(r, own, f[0], f[1], f[2], f[3])
	if err != nil {
		return nil, err
	}
	if l.SlotNames = slotNames(a.text(atNames)); l.SlotNames == nil {
		l.SlotNames = own.NamesOf(l.Slots) // granted by a step of an older berth
	}
	return &holding{s: s, own: r, since: f[2], start: f[4], lease: l, run: a.text(atRun), expires: sent.Add(r.TTL), unsure: unsure}, nil
}

func slotNames(text string) (names []string) {
	if text == "" || json.Unmarshal([]byte(text), &names) != nil {
		return nil
	}
	return names
}

func (h *holding) Lease() lease.Lease {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lease
}

func (h *holding) Expires() clock.Instant {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.expires
}

// Running implements lease.Holding. The job does not wait for it, because on a server the
// record of the child is only for people. The next heartbeat repeats it if it fails.
func (h *holding) Running(ctx context.Context, child lease.Process) error {
	h.mu.Lock()
	if h.released && h.key != "" {
		h.mu.Unlock()
		return fmt.Errorf("%w: the adoption is over", lease.ErrLost)
	}
	h.lease.Child, h.lease.State = &child, lease.Running
	h.mu.Unlock()
	h.s.unrecorded.Add(h, h.recordChild)
	if h.key != "" {
		h.recordNow(ctx)
	}
	return nil
}

// unrecordedChild is the child as it is written on the server, "" if the server knows it or
// there is none.
func (h *holding) unrecordedChild() string {
	if !h.s.unrecorded.Has(h) {
		return ""
	}
	text, err := json.Marshal(h.Lease().Child)
	if err != nil {
		return ""
	}
	return string(text)
}

// recordChild tells the server of the child, if it does not know it.
func (h *holding) recordChild() {
	child := h.unrecordedChild()
	if child == "" {
		return
	}
	if _, _, err := h.s.call(context.Background(), h.own.Pool, "running", h.own.TTL, h.own.ID, child, h.key); err == nil {
		h.s.unrecorded.Remove(h)
	}
}

// Renew implements lease.Holding. On a server that has lost its state, or cannot read our
// record, it registers this lease again, unless that may have ended.
func (h *holding) Renew(ctx context.Context, ttl time.Duration) (lease.Inbox, error) {
	if ttl == 0 {
		ttl = h.own.TTL
	}
	// A shorter TTL counts from now on, even if the answer is lost.
	h.mu.Lock()
	h.expires = min(h.expires, clock.Now().Add(ttl))
	h.mu.Unlock()
	child := h.unrecordedChild()
	a, sent, err := h.s.confirm(ctx, h.own.Pool, "renew", ttl, h.own.ID, child, h.key)
	if err != nil {
		return lease.Inbox{}, retry.Cause(ctx, err)
	}
	h.mu.Lock()
	known, ends := h.run, h.expires
	h.mu.Unlock()
	forgotten := a.text(0) == "lost" && a.text(2) != known || a.text(0) == "unreadable"
	if forgotten && clock.Now() < ends {
		if a, sent, err = h.restore(ctx, ttl); err != nil {
			h.mu.Lock()
			h.unsure = true
			h.mu.Unlock()
			return lease.Inbox{}, retry.Cause(ctx, err)
		}
	}
	if a.text(0) != "ok" {
		return lease.Inbox{}, fmt.Errorf("%w: store %s has dropped it", lease.ErrLost, h.s.name)
	}
	if child != "" {
		h.s.unrecorded.Remove(h)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.run, h.expires = a.text(2), sent.Add(ttl)
	return h.inbox(a)
}

func (h *holding) restore(ctx context.Context, ttl time.Duration) (answer, clock.Instant, error) {
	l := h.Lease()
	text, err := json.Marshal(h.own)
	if err != nil {
		return nil, 0, err
	}
	child := []byte{}
	if l.Child != nil {
		if child, err = json.Marshal(l.Child); err != nil {
			return nil, 0, err
		}
	}
	slots := make([]string, len(l.Slots))
	for i, n := range l.Slots {
		slots[i] = strconv.Itoa(n)
	}
	names := []byte{}
	if l.SlotNames != nil {
		if names, err = json.Marshal(l.SlotNames); err != nil {
			return nil, 0, err
		}
	}
	args := []any{
		h.own.ID, string(text), string(child), l.Weight, l.RequestedLimit,
		strconv.FormatUint(l.Token, 10), l.InForce, h.since, strings.Join(slots, ","), string(names),
	}
	if h.key != "" {
		return h.readopt(ctx, ttl, args)
	}
	return h.s.confirm(ctx, h.own.Pool, "restore", ttl, args...)
}

// inbox reads what others left for this holder. It translates a keepalive once, when it is
// new: the server's clock may be set later. The caller has locked h.mu.
func (h *holding) inbox(a answer) (lease.Inbox, error) {
	if b := a.text(4); b != h.keepaliveText {
		h.keepaliveText, h.keepalive = b, min(h.s.clock.local(parseInstant(b)), h.s.Clock())
	}
	inbox := lease.Inbox{Keepalive: h.keepalive, Release: a.text(5) != "", Adopter: process(a.text(6))}
	if text := a.text(3); text != "" {
		inbox.Stop = &lease.Stop{}
		if err := json.Unmarshal([]byte(text), inbox.Stop); err != nil {
			return inbox, fmt.Errorf("cannot read the request to stop %s: %w", h.own.ID, err)
		}
	}
	return inbox, nil
}

func (h *holding) Release(ctx context.Context) error { return h.release(ctx, "") }

func (h *holding) Unused(ctx context.Context) error { return h.release(ctx, cmp.Or(h.start, unseen)) }

// unseen stands for the start of a lease that we may have without having been told.
const unseen = "-"

func (h *holding) release(ctx context.Context, start string) error {
	h.mu.Lock()
	gone, unsure := h.released, flag(h.unsure)
	h.mu.Unlock()
	if gone {
		return nil
	}
	h.s.unrecorded.Remove(h) // to record it after the release would do nothing
	ctx, cancel := context.WithTimeout(ctx, h.s.timings.Release)
	defer cancel()
	var a answer
	err := h.s.retry(ctx, func(ctx context.Context) (err error) {
		if h.key != "" {
			a, _, err = h.s.call(ctx, h.own.Pool, "disown", h.own.TTL, h.own.ID, h.key, unsure)
		} else {
			a, _, err = h.s.call(ctx, h.own.Pool, "release", h.own.TTL, h.own.ID, start, unsure)
		}
		return err
	})
	switch {
	case err != nil && h.key != "":
		return notDisowned(h.Lease(), err)
	case err != nil:
		return client.NotReleased(h.Lease(), err)
	case a.text(0) == "adopted":
		return adopted(h.own.ID, a)
	}
	h.mu.Lock()
	h.released = true
	h.mu.Unlock()
	return nil
}
