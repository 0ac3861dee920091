package storename

import "testing"

func TestIsAddress(t *testing.T) {
	for where, want := range map[string]bool{
		"localhost:6379": true, "box:1": true, ":6379": true, "10.0.0.1": true, "::1": true, "[::1]:6379": true, "fe80::1%eth0": true,
		"me@box": true, "me:secret@box:1": true, "a:1,b:2": true, "a,b:2/x": true, "box:6379/0": true, "10.0.0.1/0": true,
		"": false, "store": false, "a/b": false, "./box:1": false, "../me@box": false, "/me@box:1": false, "a/me@box": true, ".": false,
		"box:": false, "a:b": false, "10.0.0": false, "1.5": false, "a,b": false,
	} {
		if got := IsAddress(where); got != want {
			t.Errorf("%q: %t, want %t", where, got, want)
		}
	}
}
