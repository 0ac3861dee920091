package lease

import (
	"fmt"
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
		{Message{Kind: MessageKeepalive, Note: strings.Repeat("x", MaxNote)}, ""},
		{Message{Kind: MessageKeepalive, Note: strings.Repeat("x", MaxNote+1)}, "1025 bytes"},
		{Message{Kind: MessageRelease}, ""},
		{Message{Kind: MessageRelease, Note: "x"}, "release has no note"},
		{Message{Kind: MessageRelease, Stop: Stop{Reason: "no"}}, "release says nothing"},
		{Message{Kind: MessageStop, Note: "x"}, "stop has no note"},
		{Message{Kind: MessageSupersede, Stop: Stop{Successor: "p/1"}}, ""},
		{Message{Kind: MessageSupersede, Note: "x"}, "supersede has no note"},
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
	in.Put(Message{Kind: MessageRelease}, 5)
	if in.Keepalive != 2 || in.Stop == nil || in.Stop.Reason != "b" || !in.Release {
		t.Errorf("%+v", in)
	}
	if msg := (&StoppedError{Stop{By: "ann", Reason: "lunch"}}).Error(); msg != "stopped by ann: lunch" {
		t.Error(msg)
	}
}

func TestCheckSlotNames(t *testing.T) {
	for _, c := range []struct {
		names []string
		want  string // part of the error; "": none
	}{
		{nil, ""},
		{[]string{"cuda0", "GPU 1", "ü"}, ""},
		{[]string{"a", ""}, "slot 1 is empty"},
		{[]string{strings.Repeat("x", MaxSlotName+1)}, "101 bytes"},
		{[]string{"a,b"}, "comma"},
		{[]string{"a\nb"}, "printed"},
		{[]string{"a\xff"}, "printed"},
		{[]string{"a", "b", "a"}, `two slots have the name "a"`},
		{names(40), ""},
		{names(41), "4100 bytes together"},
	} {
		err := CheckSlotNames(c.names)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d names: %v, want %q", len(c.names), err, c.want)
		}
	}
}

// names are so many of a hundred bytes.
func names(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("%0100d", i))
	}
	return all
}
