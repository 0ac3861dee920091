package text

// Near reports whether a differs from b by one letter that was added, dropped or changed, or by
// two letters that were swapped. Names of two letters are too short for that.
func Near(a, b string) bool {
	if len(b) < 3 || len(a) < 2 || a == b {
		return false
	}
	for a != "" && b != "" && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for a != "" && b != "" && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	swapped := len(a) == 2 && len(b) == 2 && a[0] == b[1] && a[1] == b[0]
	return len(a) <= 1 && len(b) <= 1 || swapped
}
