package storename

import "testing"

func TestHidden(t *testing.T) {
	for _, c := range []struct{ word, text, want string }{
		{"redis:u:pw@h", `"redis:u:pw@h" is`, `"redis:…@h" is`},
		{"redis:u:pw@h", `pools x@h, pw@h`, `pools x@h, …@h`},
		{"me:pw@h", "me:pw@h is 'me:pw@h'", "…@h is '…@h'"},
		{"m:p'w\n@h", `"m:p'w\n@h" 'm:p'\''w` + "\n@h'", `"…@h" '…@h'`},
		{"-pu:secret@h", `pool name "u:secret@h"`, `pool name "…@h"`},
		{"mem=u:sec,ret@h", `"u:sec" and "ret@h"`, `"…" and "…@h"`},
		{"redis://h?password=secret&db=1", `h?password=secret&db=1`, `h?password=…&db=1`},
		{"redis://h?cacert=/x.pem", "open /x.pem", "open /x.pem"},
		{"redis:u:secret", "u:secret", "…"},
		{"redis://box:6379/0", "box:6379/0", "box:6379/0"},
		{"build@ci", "pool build@ci", "pool build@ci"}, // it may be a pool's
		{"/home/me@corp/x", "/home/me@corp/x", "/home/me@corp/x"},
		{"./u:secret@h", "/tmp/u:secret@h", "/tmp/u:…@h"},
		{"me@box:x", `"me@box:x" of me@box`, `"…@box:x" of me@box`},
		{"@", "me@box", "me@box"},
		{"", "me@box", "me@box"},
	} {
		if got := HidePasswords(c.text, []string{c.word}); got != c.want {
			t.Errorf("%q in %q: %q, want %q", c.word, c.text, got, c.want)
		}
	}
}

func TestWithoutLogins(t *testing.T) {
	for _, c := range []struct{ word, want string }{
		{"", ""},
		{"make", "make"},
		{"me@box:x", "me@box:x"},
		{"https://box/x@y", "https://box/x@y"},
		{"https://me@box/", "https://me@box/"},
		{"https://me:pw@box/", "https://…@box/"},
		{"--url=redis://:p@w@h", "--url=redis://…@h"},
		{"curl 'a://b:c@d' | mail me@box; curl a://b:c@d", "curl 'a://…@d' | mail me@box; curl a://…@d"},
	} {
		if got := WithoutLogins(c.word); got != c.want {
			t.Errorf("%q: %q, want %q", c.word, got, c.want)
		}
	}
}

func TestDiscreet(t *testing.T) {
	for _, c := range []struct{ where, want string }{
		{"/var/pools", "/var/pools"},
		{"/home/me@corp/pools", "/home/me@corp/pools"},
		{"./redis:u:pw@h", "./redis:…@h"},
		{"redis://u:pw@h:1/0", "redis://u@h:1/0"},
		{"redis://pw@h", "redis://h"},
		{"redis:u:pw@h:1/0", "redis:…@h:1/0"},
		{"redis//u:pw@h", "redis//…@h"},
		{"redis:box", "redis:box"},
		{"redis:u:pw", "redis:…"},
		{"pw@h", "…@h"},
		{"a:1,b:2/x?password=pw", "a:1,b:2/x…"},
		{"[::1]:6379", "[::1]:6379"},
		{"::1", "::1"},
	} {
		if got := Discreet(c.where); got != c.want {
			t.Errorf("%q: %q, want %q", c.where, got, c.want)
		}
	}
}
