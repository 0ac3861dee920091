package client

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"berth/lease"
)

var tea = &Kind{
	Name:     "Tea",
	Greeting: "MILK?\r\n",
	Recognise: func(line string) Identity {
		switch line[0] {
		case '+':
			return Same
		case 'H':
			return Unclear
		}
		return Other
	},
}

// listen is a server that does the same to each connection, once it has been sent something.
func listen(t *testing.T, do func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(t.Context(), func() { c.Close() })
			go func() {
				if _, err := c.Read(make([]byte, 4096)); err == nil {
					do(c)
				}
			}()
		}
	}()
	return l.Addr().String()
}

func TestProbe(t *testing.T) {
	t.Parallel()
	says := func(answer string) func(net.Conn) { return func(c net.Conn) { _, _ = io.WriteString(c, answer) } }
	for name, c := range map[string]struct {
		do     func(net.Conn)
		secure bool
		want   string // "": nothing is found
		passes bool
	}{
		"Same":       {says("+yes\r\n"), false, "", false},
		"Unclear":    {says("HTTP\r\n"), false, "", false},
		"Other":      {says("SSH-2.0\r\n"), false, "what answers there is no Tea", false},
		"Silent":     {func(net.Conn) {}, false, "", false},
		"Closes":     {func(c net.Conn) { c.Close() }, false, "closes it without an answer", true},
		"NoTLS":      {says("+yes\r\n"), true, "does not speak TLS", false},
		"ClosesTLS":  {func(c net.Conn) { c.Close() }, true, "closes it without an answer", true},
		"SilentTLS":  {func(net.Conn) {}, true, "", false},
		"AlertOfTLS": {says("\x15\x03\x01\x00\x02\x02\x0a"), false, "the URL does not say so", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var cfg *tls.Config
			if c.secure {
				cfg = &tls.Config{}
			}
			f := tea.Probe(context.Background(), listen(t, c.do), cfg)
			switch {
			case c.want == "" && f.Err != nil:
				t.Errorf("%v, want nothing", f.Err)
			case c.want != "" && (f.Err == nil || !strings.Contains(f.Err.Error(), c.want) || f.Passes != c.passes):
				t.Errorf("%+v, want %q, passes: %t", f, c.want, c.passes)
			}
		})
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if f := tea.Probe(context.Background(), l.Addr().String(), nil); !f.Passes || !NobodyThere(f.Err) {
		t.Errorf("%+v, want that nothing is there", f)
	}
}

func TestConfig(t *testing.T) {
	none := t.TempDir() + "/none"
	for settings, want := range map[string]string{
		"":                              "",
		"insecure-skip-tls-verify=true": "",
		"insecure-skip-tls-verify=1":    "",
		"insecure-skip-tls-verify=what": "neither true nor false",
		"cacert=" + none:                "cannot read cacert",
		"cert=" + none:                  "belong together",
		"key=" + none:                   "belong together",
		"cert=" + none + " key=" + none: "cannot read cert and key",
	} {
		given := map[string]string{}
		for s := range strings.FieldsSeq(settings) {
			name, value, _ := strings.Cut(s, "=")
			given[name] = value
		}
		c, err := Config(func(name string) string { return given[name] })
		switch {
		case want == "" && (err != nil || c.InsecureSkipVerify != (settings != "")):
			t.Errorf("%s: %+v, %v", settings, c, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", settings, err, want)
		}
	}
}

func TestFault(t *testing.T) {
	var out *lease.UnreachableError
	if err := (Fault{Err: errCloses, Hint: "h", Passes: true}).Of("s"); !errors.As(err, &out) || out.Hint != "h" || out.Answers || out.Err != errCloses {
		t.Errorf("%#v", err)
	}
	if err := (Fault{Err: errNoTLS}).Of("s"); !errors.As(err, new(*lease.RefusedError)) {
		t.Errorf("%#v", err)
	}
	if f := Network(&net.OpError{Op: "dial", Err: &net.DNSError{Name: "h", IsNotFound: true}}); !f.Passes || f.Err.Error() != "no such host: h" {
		t.Errorf("%+v", f)
	}
}

func TestWithPort(t *testing.T) {
	got := strings.Join(WithPort([]string{"a", "b:1", "[::1]", "::2", "[::3]:4"}, "9"), " ")
	if want := "a:9 b:1 [::1]:9 [::2]:9 [::3]:4"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
