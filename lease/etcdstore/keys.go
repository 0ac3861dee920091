package etcdstore

import (
	"fmt"
	"net/url"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"berth/lease"
)

// pool names the keys of a pool.
//
//	own                 its settings
//	grants              lease.Starts; every grant rewrites it, so grants agree by its
//	                    revision: of two that read the same one, one fails
//	report
//	holders/ID/lease    a holder; /stop, /keepalive, /keepalive-note and /release are
//	                    messages to it. A waiter can be told /stop and /supersede:
//	                    one watch shows grant and message
//	holders/ID/slots/…  its claim
//	holders/ID/adopter  an adoption of it
//	holders/ID/adopted  the last process that has adopted it
//	line/PP/SEQ-ID      a waiter
//	aside/PP/SEQ-ID     a waiter that is passed for now
//	ids/ID              a waiter's place in one of these
//	keys/KEY/PP/SEQ-ID  a place that is kept for a key, if its waiter is gone
//
// The keys of the line sort in the order of service, so reading its head is a read of one
// key, however long the line is. SEQ is etcd's revision when the waiter came, read after
// Line was called. A waiter that comes after Line has returned to another one has a
// greater SEQ. Two that come at the same moment may have the same SEQ; then their ids
// decide. The revision at which the ticket itself is written would be exact, but it is
// known too late to be part of a key, and sorting by it would make etcd read the whole
// line.
type pool struct{ name, dir string }

func (s *Store) pool(name string) (pool, error) {
	return pool{name, s.dir + name + "/"}, lease.CheckPool(name)
}

func (p pool) ownKey() string    { return p.dir + "own" }
func (p pool) grantsKey() string { return p.dir + "grants" }
func (p pool) reportKey() string { return p.dir + "report" }
func (p pool) holders() string   { return p.dir + "holders/" }
func (p pool) line() string      { return p.dir + "line/" }
func (p pool) aside() string     { return p.dir + "aside/" }

func (p pool) holder(id string) string   { return p.holders() + p.short(id) + "/" }
func (p pool) leaseKey(id string) string { return p.holder(id) + "lease" }
func (p pool) claimKey(l lease.Lease) string {
	return p.holder(l.ID) + claimKind + claimOf(l).name()
}

// toldKey is where the last message of a kind is.
func (p pool) toldKey(id string, kind lease.MessageKind) string { return p.holder(id) + string(kind) }

// noteKind is the last part of the key of a keepalive's note. In a list it comes where the
// keepalive does.
const noteKind = string(lease.MessageKeepalive) + "-note"

func (p pool) noteKey(id string) string { return p.holder(id) + noteKind }

func (p pool) adoptionKey(id string) string { return p.holder(id) + adoptionKind }

func (p pool) adoptedKey(id string) string { return p.holder(id) + adoptedKind }

func (p pool) placeKey(id string) string { return p.dir + "ids/" + p.short(id) }

func (p pool) lineKey(t lease.Ticket) string  { return p.line() + p.rank(t) }
func (p pool) asideKey(t lease.Ticket) string { return p.aside() + p.rank(t) }

func (p pool) kept() string                   { return p.dir + "keys/" }
func (p pool) graceKeys(key string) string    { return p.kept() + url.PathEscape(key) + "/" }
func (p pool) graceKey(t lease.Ticket) string { return p.graceKeys(t.Key) + p.rank(t) }
func (p pool) behind(priority int) string     { return p.line() + priorityPart(priority+1) }
func (p pool) rank(t lease.Ticket) string {
	return priorityPart(t.Priority) + fmt.Sprintf("%020d-", t.Seq) + p.short(t.ID)
}

// priorityPart sorts as priorities do, from -20.
func priorityPart(priority int) string { return fmt.Sprintf("%02d/", priority+20) }

// short is an id without its pool, escaped so that it is one part of a key.
func (p pool) short(id string) string {
	return url.PathEscape(strings.TrimPrefix(id, p.name+"/"))
}

// absent: the key does not exist.
func absent(key string) clientv3.Cmp { return unchanged(key, 0) }

// unchanged: the key was last written at that revision; 0: it does not exist.
func unchanged(key string, rev int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(key), "=", rev)
}

// sameAs: the key was created at that revision, though it may have been rewritten since.
func sameAs(key string, rev int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(key), "=", rev)
}

// attachedTo: the key is attached to that etcd lease. 0: to none, or it does not exist.
func attachedTo(key string, on clientv3.LeaseID) clientv3.Cmp {
	return clientv3.Compare(clientv3.LeaseValue(key), "=", on)
}

// noKey: there is no key in the range. etcd compares a range key by key, and treats an
// empty range as one key that does not exist.
func noKey(from, before string) clientv3.Cmp {
	return sameAs(from, 0).WithRange(before)
}
