package lease

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// TestRecordsOfBefore: what an older berth has written, when a moment was a time.Duration,
// is read and written byte for byte as it was.
func TestRecordsOfBefore(t *testing.T) {
	for _, c := range []struct {
		text string
		into any
		want any
	}{
		{
			`{"last_ns":81234567890,"buckets":[{"every_ns":1000000000,"burst":3,"next_ns":81234567891,"asked_ns":81234567892}],"count":7,"over_ns":81234567893,"slow_ns":172800000000000,"used_ns":81234567894,"lost_ns":81234567895}`,
			&Starts{},
			&Starts{
				Last: 81234567890, Buckets: []Bucket{{Pace{time.Second, 3}, 81234567891, 81234567892}}, Count: 7,
				Overdrawn: 81234567893, Slow: 48 * time.Hour, LastUse: 81234567894, BucketsLost: 81234567895,
			},
		},
		{
			`{"reason":"gated","limit":4,"used":2,"ahead":0,"gates":["load\u003c8"],"last_ns":81234567890,"since_start_ns":1000000000}`,
			&Verdict{},
			&Verdict{Reason: Gated, Limit: 4, Used: 2, Gates: []string{"load<8"}, Last: 81234567890, SinceStart: time.Second},
		},
		{
			`{"by":"p/5d0c","why":"no memory","at_ns":81234567896}`,
			&Report{},
			&Report{By: "p/5d0c", Why: "no memory", At: 81234567896},
		},
		{
			`{"at_ns":81234567890,"before_ns":81234567889,"nth":7}`,
			&Start{},
			&Start{At: 81234567890, Before: 81234567889, Nth: 7},
		},
	} {
		if err := json.Unmarshal([]byte(c.text), c.into); err != nil || !reflect.DeepEqual(c.into, c.want) {
			t.Errorf("%s: read as %+v, %v; want %+v", c.text, c.into, err, c.want)
		}
		if b, err := json.Marshal(c.want); err != nil || string(b) != c.text {
			t.Errorf("written as %s, %v; want %s", b, err, c.text)
		}
	}
}
