package words

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxReason bounds what is said to everybody who is refused, in one line.
const maxReason = 200

func parseReason(s string) (string, error) {
	said := strings.Join(strings.Fields(s), " ")
	switch {
	case !utf8.ValidString(s):
		return "", fmt.Errorf("%q is not UTF-8", s)
	case said == "":
		return "", errors.New("the reason is empty; a new limit removes the old reason, and --clear removes all settings")
	case len(said) > maxReason:
		return "", fmt.Errorf("a reason of %d bytes is too long (at most %d)", len(said), maxReason)
	}
	return said, nil
}
