package lease

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
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

// MaxSlotName is the longest name of a slot, and MaxSlotNames how long those of a pool are
// together, in bytes: the record of a lease has the names of its slots.
const MaxSlotName, MaxSlotNames = 100, 4 << 10

// CheckSlotNames returns an error that names what is wrong with the names of a pool's slots.
// The environment of a job has them in a list, so none has a comma.
func CheckSlotNames(names []string) error {
	size := 0
	for i, n := range names {
		size += len(n)
		switch {
		case n == "":
			return fmt.Errorf("the name of slot %d is empty", i)
		case len(n) > MaxSlotName:
			return fmt.Errorf("the name of slot %d has %d bytes, which is too long (at most %d)", i, len(n), MaxSlotName)
		case strings.ContainsFunc(n, func(c rune) bool { return c == ',' || c == utf8.RuneError || !unicode.IsPrint(c) }):
			return fmt.Errorf("the name %q of slot %d has a comma in it, or a character that cannot be printed", n, i)
		case slices.Contains(names[:i], n):
			return fmt.Errorf("two slots have the name %q", n)
		}
	}
	if size > MaxSlotNames {
		return fmt.Errorf("the names of the slots have %d bytes together, which is too long (at most %d)", size, MaxSlotNames)
	}
	return nil
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
