package words

import (
	"errors"
	"os"

	"github.com/urfave/cli/v2"

	"berth/cmd/storename"
	"berth/lease"
)

func StoreFlag(category string) cli.Flag {
	return NewString(cli.StringFlag{Category: category, Name: "store", Usage: "`WHERE` find the pools there: a directory, or redis://HOST/DB, etcd://HOST,HOST/PREFIX and others, see README (default: /var/tmp/berth-UID) [$BERTH_STORE]"})
}

func OwnerFlag(category string) cli.Flag {
	return NewString(cli.StringFlag{Category: category, Name: "store-owner", Usage: "`USER` the directory has to belong to this user, by name or uid; root uses no other's without it [$BERTH_STORE_OWNER]"})
}

func quietFlag(category string) cli.Flag {
	return NewBool(cli.BoolFlag{Category: category, Name: "quiet", Aliases: []string{"q"}, Usage: "no notes, nothing while waiting [$BERTH_QUIET]"})
}

func PoolFlag(usage string) cli.Flag {
	return NewString(cli.StringFlag{Name: "pool", Aliases: []string{"p"}, Usage: "`POOL` " + usage})
}

// StoreOf is the store that --store or else BERTH_STORE names, and its owner. An empty
// variable is one that is not set; the library would take it for a value.
func StoreOf(c *cli.Context) storename.Spec {
	o := storename.Spec{Where: os.Getenv("BERTH_STORE"), From: "BERTH_STORE", Owner: os.Getenv("BERTH_STORE_OWNER")}
	if c.IsSet("store") {
		o.Where, o.From = c.String("store"), "--store"
	}
	if c.IsSet("store-owner") {
		o.Owner, o.OwnerByFlag = c.String("store-owner"), true
	}
	return o
}

// PoolsNamed are the operands, or what --pool names in their place.
func PoolsNamed(c *cli.Context) ([]string, error) {
	names := c.Args().Slice()
	if c.IsSet("pool") {
		if len(names) > 0 {
			return nil, errors.New("name pools as operands or with -p, not both")
		}
		names = []string{c.String("pool")}
	}
	for _, n := range names {
		if err := lease.CheckPool(n); err != nil {
			return nil, err
		}
	}
	return names, nil
}
