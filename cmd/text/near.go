package text

// Near reports whether one letter more, less or other, or two that have changed
// places, make a of b. Of two letters nothing is left that could be recognised.
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
