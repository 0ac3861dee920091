package lease

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// MaxPoolName is the longest name of a pool, in bytes: a directory has that name, and
// with the suffixes that are added it stays under the 255 bytes of file systems.
const MaxPoolName = 100

// CheckPool returns an error that names what is wrong with a pool's name.
func CheckPool(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("pool name is empty")
	case len(name) > MaxPoolName:
		return fmt.Errorf("pool name of %d bytes is too long (at most %d)", len(name), MaxPoolName)
	case name[0] == '.':
		return fmt.Errorf("pool name %q begins with a dot (a letter, a digit or one of _ - @ + is allowed there)", name)
	}
	for _, c := range name {
		if !strings.ContainsRune("._-@+", c) && !isAlnum(c) {
			return fmt.Errorf("pool name %q has %q in it (letters, digits and . _ - @ + are allowed)", name, c)
		}
	}
	return nil
}

func isAlnum(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// NewID returns a fresh id for a request on a pool. The pool is part of it, so
// that an id alone leads to its record. Among a thousand ids of 48 random bits,
// two are equal with a probability of 1 in 500 million.
func NewID(pool string) string {
	return fmt.Sprintf("%s/%012x", pool, rand.Uint64()>>16)
}

// PoolOf returns the pool an id belongs to.
func PoolOf(id string) (string, error) {
	pool, _, ok := strings.Cut(id, "/")
	if !ok || CheckPool(pool) != nil {
		return "", fmt.Errorf("%q is not a lease id (POOL/HEX, see 'berth ls'): %w", id, ErrNotFound)
	}
	return pool, nil
}
