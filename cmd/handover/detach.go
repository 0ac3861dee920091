package handover

import (
	"errors"
	"fmt"
	"os"
)

// Detach leaves the terminal, the session and the process group of the front, and has it receive
// the text. From then on /dev/null is 0, and out is 1 and 2. The working directory stays: what
// goes on is what the caller has started in it.
func (b *Back) Detach(out *os.File, text string) error {
	if err := detach(out); err != nil {
		return fmt.Errorf("cannot go on in the background: %w", err)
	}
	if _, err := b.conn.WriteString(text); err != nil {
		return errors.New("the process that was to print the result is gone")
	}
	return endOfText(b.conn)
}
