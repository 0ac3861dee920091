package words

import (
	"errors"
	"os"

	"berth/cmd/storename"
	"berth/lease"
)

func storeFlag(group string) Flag {
	return Flag{Group: group, Name: "store", Value: "WHERE", Usage: "where the pools are: a directory, redis://HOST/DB, etcd://HOST,HOST/PREFIX or another one of berth help stores (default: /var/tmp/berth-UID) [$BERTH_STORE]"}
}

func ownerFlag(group string) Flag {
	return Flag{Group: group, Name: "store-owner", Value: "USER", Usage: "the user, by name or uid, that the directory must belong to; root needs this for a directory of another user [$BERTH_STORE_OWNER]"}
}

func poolFlag(usage string) Flag {
	return Flag{Name: "pool", Short: "p", Value: "POOL", Usage: usage}
}

func (p *parser) store() storename.Spec {
	return storeOf(func(name string) (string, bool) { return p.text(name), p.isSet(name) })
}

// storeOf is the store that --store or else BERTH_STORE names, and its owner. An empty
// variable is one that is not set.
func storeOf(flag func(name string) (string, bool)) storename.Spec {
	s := storename.Spec{Where: os.Getenv("BERTH_STORE"), From: "BERTH_STORE", Owner: os.Getenv("BERTH_STORE_OWNER")}
	if where, ok := flag("store"); ok {
		s.Where, s.From = where, "--store"
	}
	if owner, ok := flag("store-owner"); ok {
		s.Owner, s.OwnerByFlag = owner, true
	}
	return s
}

// pools are the operands, or what --pool names in their place.
func (p *parser) pools() []string {
	names := p.operands()
	if p.isSet("pool") {
		if len(names) > 0 {
			p.fail(errors.New("name pools as operands or with -p, not both"))
		}
		names = []string{p.text("pool")}
	}
	for _, n := range names {
		p.fail(lease.CheckPool(n))
	}
	return names
}
