package clock

import (
	"context"
	"encoding/json"
	"testing"
	"time"
)

func TestSleepUntil(t *testing.T) {
	at := Now().Add(20 * time.Millisecond)
	SleepUntil(context.Background(), at)
	if now := Now(); now < at {
		t.Errorf("slept until %v, want %v", now, at)
	}
	SleepUntil(context.Background(), 0)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(10*time.Millisecond, cancel)
	SleepUntil(ctx, Now().Add(time.Hour))
}

func TestPoll(t *testing.T) {
	at := Now().Add(20 * time.Millisecond)
	poll(context.Background(), at)
	if now := Now(); now < at {
		t.Errorf("slept until %v, want %v", now, at)
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(10*time.Millisecond, cancel)
	poll(ctx, Now().Add(time.Hour))
}

// TestInstant: it is written as time.Duration always was, a number of nanoseconds.
func TestInstant(t *testing.T) {
	i := Instant(0).Add(90 * time.Minute)
	if i.Sub(Instant(time.Hour)) != 30*time.Minute || i.String() != "1h30m0s" {
		t.Errorf("%v, half an hour after %v", i, Instant(time.Hour))
	}
	b, err := json.Marshal(i)
	if was, _ := json.Marshal(90 * time.Minute); err != nil || string(b) != string(was) {
		t.Errorf("JSON %s, %v; want %s", b, err, was)
	}
	var back Instant
	if err := json.Unmarshal(b, &back); err != nil || back != i {
		t.Errorf("read as %v, %v; want %v", back, err, i)
	}
}
