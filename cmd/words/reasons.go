package words

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxReasonBytes bounds what is said to everybody who is refused, in one line.
const maxReasonBytes = 200

func parseReason(s string) (string, error) {
	said := strings.Join(strings.Fields(s), " ")
	switch {
	case !utf8.ValidString(s):
		return "", fmt.Errorf("%q is not UTF-8", s)
	case said == "":
		return "", errors.New("the reason is empty; a new limit removes the old reason, and --clear removes all settings")
	case len(said) > maxReasonBytes:
		return "", fmt.Errorf("a reason of %d bytes is too long (at most %d)", len(said), maxReasonBytes)
	}
	return said, nil
}
