package gate

import (
	"math"
	"strconv"
	"strings"
)

// Numbers in a line for people are short, but a value and its threshold that
// differ must not read the same.

// apart writes a value with as many decimals as tell it from its threshold, and
// the threshold as it was given.
func apart(value, threshold float64, write func(v float64, decimals int) string, decimals int) (v, t string) {
	t = write(threshold, 6)
	for ; ; decimals++ {
		v = write(value, decimals)
		if v != t || value == threshold || decimals >= 6 {
			return v, t
		}
	}
}

// decimal writes v without zeros at the end.
func decimal(v float64, decimals int) string {
	text := strconv.FormatFloat(v, 'f', decimals, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

func inPercent(v float64, decimals int) string { return decimal(v, decimals) + "%" }

func inBytes(v float64, decimals int) string {
	for i, u := range units {
		if unit := math.Exp2(float64(10 * (len(units) - i))); v >= unit {
			return decimal(v/unit, decimals) + string(u)
		}
	}
	return decimal(v, 0) + "B"
}

// Bytes writes a number of bytes as the findings do.
func Bytes(n uint64) string { return bytesText(float64(n)) }

func bytesText(v float64) string { return inBytes(v, 1) }

func cpusText(v float64) string {
	if v == 1 {
		return "1 CPU"
	}
	return decimal(v, 2) + " CPUs"
}

// place says which level a number belongs to, and how much of it is reserved.
func place(of string, reserved, own float64, text func(float64) string) string {
	notes := []string{of}
	if reserved > 0 {
		notes = append(notes, text(reserved)+" of it set aside for jobs that have not used it yet")
	}
	if own > 0 {
		notes = append(notes, text(own)+" for this job")
	}
	return "(" + strings.Join(notes, "; ") + ")"
}

// line is "97% busy, not below 80% of 2 CPUs (host)": the two numbers first, since
// a terminal cuts off the end.
func line(v Finding, write func(float64, int) string, decimals int, noun, whole, relation string) string {
	value, threshold := apart(max(0, *v.Value), *v.Threshold, write, decimals)
	return value + noun + ", " + relation + " " + threshold + whole
}

// below is the line of a gate that is open below its threshold, or also at it.
func below(v Finding, write func(float64, int) string, decimals int, noun, whole string, orAt bool) string {
	relation := "not below"
	switch {
	case v.Open && *v.Value > *v.Threshold:
		relation = "near enough to"
	case v.Open && orAt:
		relation = "within"
	case v.Open:
		relation = "below"
	case orAt:
		relation = "above"
	}
	return line(v, write, decimals, noun, whole, relation)
}

// above is the line of a gate that is open above its threshold, or also at it.
func above(v Finding, write func(float64, int) string, decimals int, noun, whole string, orAt bool) string {
	relation := "must be above"
	switch {
	case v.Open && orAt:
		relation = "at least"
	case v.Open:
		relation = "above"
	case orAt:
		relation = "less than"
	}
	return line(v, write, decimals, noun, whole, relation)
}

// enough is the line of a need.
func enough(v Finding, write func(float64, int) string, whole string) string {
	relation := "less than the needed"
	switch {
	case v.Open && *v.Value < *v.Threshold:
		relation = "near enough to the needed"
	case v.Open:
		relation = "enough for the needed"
	}
	return line(v, write, 2, " free", whole, relation)
}

// measuring is the reason until there are two samples.
const measuring = "measuring CPU use"
