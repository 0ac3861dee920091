package words

import (
	"slices"
	"testing"
)

// TestStoreFlags: each command that takes a store takes all three flags about it.
func TestStoreFlags(t *testing.T) {
	for _, c := range Commands() {
		var has []string
		for _, f := range c.Flags {
			if slices.Contains([]string{"store", "store-owner", "user-store"}, f.Name) {
				has = append(has, f.Name)
			}
		}
		if len(has) != 0 && len(has) != 3 {
			t.Errorf("berth %s has only %v", c.Name, has)
		}
	}
}
