package words

import "berth/cmd/storename"

// Unfinished is what a line that is still being typed has before its last word.
type Unfinished struct {
	Command  string            // its name
	Given    map[string]string // by a flag's name with its dashes
	Pending  string            // the flag whose value comes next, with its dashes; "" none
	Operands []string
	Ended    bool // no flag can follow
}

// ReadUnfinished reads words that begin with the name of a command. Whatever is wrong in
// them is passed over.
func ReadUnfinished(words []string) Unfinished {
	u := Unfinished{Command: words[0], Given: map[string]string{}}
	for _, c := range commands {
		if c.name != words[0] {
			continue
		}
		built := c.build()
		l := read(words[1:], built.Flags, !built.operands)
		for name, all := range l.given {
			u.Given["--"+name] = all[len(all)-1].value
		}
		if l.pending != nil {
			u.Pending = "--" + l.pending.Name
		}
		u.Operands, u.Ended = l.operands, l.ended
	}
	return u
}

// Store is the store that the line names so far.
func (u Unfinished) Store() (storename.Spec, error) {
	_, own := u.Given["--user-store"]
	return storeOf(func(name string) (string, bool) {
		value, ok := u.Given["--"+name]
		return value, ok
	}, own)
}
