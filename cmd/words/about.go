package words

import (
	"fmt"

	"berth/cmd/text"
)

// Completion asks for the script of a shell, or for the words that complete a line.
type Completion struct{ Words []string }

func completionCommand() Command {
	return Command{
		Name:     "completion",
		Usage:    "Print the script that completes berth's commands in a shell.",
		Synopsis: "berth completion bash|zsh|fish",
		Description: `It completes commands, flags and their words, topics, and the pools and leases
of the store in use. To switch it on:
  source <(berth completion bash)              in ~/.bashrc
  source <(berth completion zsh)               in ~/.zshrc, after compinit
  mkdir -p ~/.config/fish/completions          once, for fish
  berth completion fish >~/.config/fish/completions/berth.fish

The scripts call 'berth completion next -- WORD...' to complete the last WORD.`,
		parse: func(p *parser) any { return Completion{p.operands()} },
	}
}

// Man asks for the man page.
type Man struct{}

func manCommand() Command {
	return Command{
		Name:     "man",
		Usage:    "Print the man page, with all topics of berth help.",
		Synopsis: "berth man",
		Description: `It is made of the same texts as berth help. To install it, as root:
  install -d /usr/local/share/man/man1
  berth man >/usr/local/share/man/man1/berth.1`,
		parse: func(p *parser) any { p.noArguments(); return Man{} },
	}
}

// Version asks which berth this is.
type Version struct{ JSON bool }

func versionCommand() Command {
	return Command{
		Name:     "version",
		Usage:    "Print the version: release or revision, Go version, platform.",
		Synopsis: "berth version [--json]",
		Flags:    []Flag{{Name: "json", Kind: Switch, Usage: "print JSON, see berth help json"}},
		parse:    func(p *parser) any { p.noArguments(); return Version{JSON: p.on("json")} },
	}
}

// Help asks for the help of a command or for a topic; "" for a list of both.
type Help struct{ Word string }

func helpCommand() Command {
	return Command{
		Name:     "help",
		Usage:    "Print the help of a command or a topic; without an argument, list them.",
		Synopsis: "berth help [COMMAND|TOPIC]",
		parse: func(p *parser) any {
			switch o := p.operands(); len(o) {
			case 0:
				return Help{}
			case 1:
				return Help{Word: o[0]}
			default:
				p.fail(Hinted(fmt.Errorf("takes one COMMAND or TOPIC, got %d", len(o)), "berth help "+text.Quoted(o[:1])[0]))
				return nil
			}
		},
	}
}
