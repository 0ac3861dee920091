package lease

import (
	"strings"
	"testing"
	"time"
)

func TestMessage(t *testing.T) {
	early, late := -time.Second, time.Hour
	for _, c := range []struct {
		m    Message
		want string // part of the error; "": none
	}{
		{Message{Kind: MessageStop}, ""},
		{Message{Kind: MessageStop, Stop: Stop{Reason: strings.Repeat("x", MaxReason), By: "ann", KillAfter: &late}}, ""},
		{Message{Kind: MessageKeepalive}, ""},
		{Message{Kind: MessageStop, Stop: Stop{Reason: strings.Repeat("x", MaxReason+1)}}, "1025 bytes"},
		{Message{Kind: MessageStop, Stop: Stop{KillAfter: &early}}, "1s before"},
		{Message{Kind: MessageKeepalive, Stop: Stop{Reason: "no"}}, "keepalive"},
		{Message{Kind: "dance"}, `"dance"`},
		{Message{}, `""`},
	} {
		err := c.m.Check()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.m, err, c.want)
		}
	}
}

// TestInbox: the last message of a kind counts, and one that is not known changes nothing.
func TestInbox(t *testing.T) {
	var in Inbox
	in.Put(Message{Kind: "dance"}, 1)
	if in != (Inbox{}) {
		t.Errorf("%+v, want nothing", in)
	}
	in.Put(Message{Kind: MessageKeepalive}, 2)
	in.Put(Message{Kind: MessageStop, Stop: Stop{Reason: "a"}}, 3)
	in.Put(Message{Kind: MessageStop, Stop: Stop{Reason: "b"}}, 4)
	if in.Keepalive != 2 || in.Stop == nil || in.Stop.Reason != "b" {
		t.Errorf("%+v", in)
	}
	if msg := (&StoppedError{Stop{By: "ann", Reason: "lunch"}}).Error(); msg != "stopped by ann: lunch" {
		t.Error(msg)
	}
}
