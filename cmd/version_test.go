package cmd

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestVersion(t *testing.T) {
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "27f254e0123456789"}
	changed := debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	for _, c := range []struct {
		version  string
		settings []debug.BuildSetting
		want     string
	}{
		{"v1.2.3", nil, "v1.2.3"},
		{"v1.2.3", []debug.BuildSetting{revision, changed}, "v1.2.3"},
		{"(devel)", []debug.BuildSetting{revision}, "27f254e01234"},
		{"", []debug.BuildSetting{revision, changed}, "27f254e01234+dirty"},
		{"(devel)", nil, "of unknown version"},
	} {
		info := &debug.BuildInfo{Main: debug.Module{Version: c.version}, Settings: c.settings}
		want := "berth " + c.want + " " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
		if got := versionOf(info).String(); got != want {
			t.Errorf("%q, %v: %q, want %q", c.version, c.settings, got, want)
		}
	}
	if versionOf(nil).String() == "" {
		t.Error("nothing without a build info")
	}
}
