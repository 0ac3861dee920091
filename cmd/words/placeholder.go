package words

import (
	"strings"

	"github.com/urfave/cli/v2"
)

// ValueOf is what the first word in backquotes of a flag's usage calls its value, and
// the usage without it.
func ValueOf(f cli.DocGenerationFlag) (value, usage string) {
	usage = f.GetUsage()
	if a, rest, ok := strings.Cut(usage, "`"); ok {
		if v, b, ok := strings.Cut(rest, "`"); ok {
			return v, strings.TrimSpace(a + b)
		}
	}
	return "", usage
}
