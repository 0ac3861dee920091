package words

import (
	"fmt"
	"strings"
)

func slotEnvFlag() Flag {
	return Flag{Group: ofRunning, Name: "slot-env", Value: "VAR", Kind: List, Usage: "also set VAR for the command: to its slot numbers, like 0,3, or to their names where 'berth limit --names' has named them; repeatable"}
}

// slotEnv are the variables that --slot-env names.
func (p *parser) slotEnv() (vars []string) {
	for _, v := range p.list("slot-env") {
		switch {
		case !isVariable(v):
			p.check("slot-env", fmt.Errorf("%q is not a variable: letters, digits and _, and no digit first, like CUDA_VISIBLE_DEVICES", v))
		case strings.HasPrefix(v, "BERTH_"):
			p.check("slot-env", fmt.Errorf("%s: the variables that begin with BERTH_ are berth's own; choose another name", v))
		}
		vars = append(vars, v)
	}
	return vars
}
