package words

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"berth/cmd/storename"
	"berth/lease"
)

func storeFlag(group string) Flag {
	return Flag{Group: group, Name: "store", Value: "WHERE", Usage: "where the pools are: a directory, redis://HOST/DB, etcd://HOST,HOST/PREFIX or another one of berth help stores (default: that of /etc/berth/store, else /var/tmp/berth-UID) [$BERTH_STORE]"}
}

func ownerFlag(group string) Flag {
	return Flag{Group: group, Name: "store-owner", Value: "USER", Usage: "the user, by name or uid, that the directory must belong to; root needs this for a directory of another user [$BERTH_STORE_OWNER]"}
}

func poolFlag(usage string) Flag {
	return Flag{Name: "pool", Short: "p", Value: "POOL", Usage: usage}
}

func userStoreFlag(group string) Flag {
	return Flag{Group: group, Name: "user-store", Kind: Switch, Usage: "use your own store, /var/tmp/berth-UID, whatever BERTH_STORE and /etc/berth/store say"}
}

func (p *parser) store() storename.Spec {
	s, err := p.storeNamed()
	p.fail(err)
	return s
}

// storeNamed is the store that was named. The error, which has a hint, is about that of the
// machine: a *storename.MachineError.
func (p *parser) storeNamed() (storename.Spec, error) {
	if p.on("user-store") && p.isSet("store") {
		p.fail(fmt.Errorf("--user-store and --store %s contradict each other", storename.Discreet(p.text("store"))))
	}
	s, err := storeOf(func(name string) (string, bool) {
		return p.text(name), p.isSet(name)
	}, p.on("user-store"))
	var bad *storename.MachineError
	if errors.As(err, &bad) {
		err = Hinted(err, fmt.Sprintf("ls -ld %s %s; berth help sharing; --user-store does without it", filepath.Dir(bad.File), bad.File))
	}
	return s, err
}

// storeOf is the store that is named by --store, else by BERTH_STORE, else for all users of
// this machine, and its owner. An empty variable is one that is not set.
func storeOf(flag func(name string) (string, bool), own bool) (storename.Spec, error) {
	s := storename.Spec{Where: os.Getenv("BERTH_STORE"), From: "BERTH_STORE", Owner: os.Getenv("BERTH_STORE_OWNER")}
	if own {
		s = storename.Spec{From: "--user-store"}
	}
	if where, ok := flag("store"); ok {
		s.Where, s.From = where, "--store"
	}
	if owner, ok := flag("store-owner"); ok {
		s.Owner, s.OwnerByFlag = owner, true
	}
	if s.Where != "" || s.From != "BERTH_STORE" {
		return s, nil
	}
	s.From = ""
	where, err := storename.Machine()
	if where != "" {
		s.Where, s.From = where, storename.MachineFile
	}
	return s, err
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
