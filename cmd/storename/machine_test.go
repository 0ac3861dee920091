//go:build unix

package storename

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMachineStoreIn(t *testing.T) {
	for content, want := range map[string]string{
		"/srv/berth":                     "/srv/berth",
		"\n# ours\n\t/srv/berth \r\n":    "/srv/berth",
		"/srv/berth # of all":            "/srv/berth",
		"/srv/a#b":                       "/srv/a#b",
		"redis://box/0\n":                "redis://box/0",
		"etcd://a,b/p":                   "etcd://a,b/p",
		"":                               "error: names no store",
		"#/srv/berth":                    "error: names no store",
		"/a\n/b":                         `error: two stores, "/a" and "/b"`,
		"redis://u:pw@h\nredis://u:pw@h": `error: "redis://u@h" and "redis://u@h"`,
		"srv":                            `error: "srv" is neither`,
		"./srv":                          `error: "./srv" is neither`,
		"/srv/berth /srv/other":          "/srv/berth /srv/other",
		"box:6379":                       "box:6379", // Check has more to say of it
	} {
		got, err := machineStoreIn(content)
		if err != nil {
			got = "error: " + err.Error()
		}
		if is, isError := strings.CutPrefix(want, "error: "); isError && !strings.Contains(got, is) || !isError && got != want {
			t.Errorf("%q: %q, want %q", content, got, want)
		}
	}
}

// TestMachineStore: what others can write is not believed, and there is an error for it.
func TestMachineStore(t *testing.T) {
	me := uint32(os.Getuid())
	set := func(name string) string {
		dir := filepath.Join(t.TempDir(), "berth")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte("/srv\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, c := range []struct {
		name   string
		spoil  func(file string) error
		owner  uint32
		want   string
		failed string
	}{
		{"right", func(string) error { return nil }, me, "/srv", ""},
		{"none", os.Remove, me, "", ""},
		{"no directory", func(f string) error { return os.RemoveAll(filepath.Dir(f)) }, me, "", ""},
		{"of another user", func(string) error { return nil }, me + 1, "", "it belongs to uid"},
		{"group may write", func(f string) error { return os.Chmod(f, 0o664) }, me, "", "it can be written by others"},
		{"all may write", func(f string) error { return os.Chmod(f, 0o646) }, me, "", "it can be written by others"},
		{"directory", func(f string) error { return os.Chmod(filepath.Dir(f), 0o775) }, me, "", "its directory can be written"},
		{"a directory in its place", func(f string) error {
			_ = os.Remove(f)
			return os.Mkdir(f, 0o755)
		}, me, "", "it is not a regular file"},
		{"a link", func(f string) error {
			_ = os.Rename(f, f+"2")
			return os.Symlink(f+"2", f)
		}, me, "", "it is a symbolic link"},
		{"a dead link", func(f string) error {
			_ = os.Remove(f)
			return os.Symlink("none", f)
		}, me, "", "it is a symbolic link"},
		{"directory is a link", func(f string) error {
			d := filepath.Dir(f)
			_ = os.Rename(d, d+"2")
			return os.Symlink(d+"2", d)
		}, me, "", "its directory is a symbolic link"},
		{"directory is a dead link", func(f string) error {
			_ = os.RemoveAll(filepath.Dir(f))
			return os.Symlink("none", filepath.Dir(f))
		}, me, "", "its directory is a symbolic link"},
		{"directory is a file", func(f string) error {
			d := filepath.Dir(f)
			_ = os.RemoveAll(d)
			return os.WriteFile(d, nil, 0o644)
		}, me, "", "not a directory"},
		{"too long", func(f string) error { return os.WriteFile(f, make([]byte, 5000), 0o644) }, me, "", "more than 4096 bytes"},
	} {
		file := set("store")
		if err := c.spoil(file); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		got, err := machineStore(file, c.owner)
		if got != c.want || (err == nil) != (c.failed == "") || err != nil && !strings.Contains(err.Error(), c.failed) {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}
