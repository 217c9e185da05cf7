package api

// plain reports whether a string is its own JSON: printable ASCII without what is escaped. Fast path: most of the text in an
// answer about few samples are labels, which are looked at eight bytes at a time (BenchmarkList).
func plain(s string) bool {
	if len(s) < 8 {
		for i := range len(s) {
			if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
				return false
			}
		}
		return true
	}
	for i := 0; i < len(s)-8; i += 8 {
		if anyEscaped(eightBytes(s[i:])) {
			return false
		}
	}
	return !anyEscaped(eightBytes(s[len(s)-8:]))
}

// eightBytes returns the first eight bytes of a string.
func eightBytes(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// anyEscaped reports whether one of eight bytes is not plain. Each test leaves the top bit of a byte that is meant set, and
// those of others only where one below it is meant.
func anyEscaped(eight uint64) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	is := func(v, c uint64) uint64 {
		v ^= c * ones
		return (v - ones) &^ v
	}
	// The two of each pair differ in one bit.
	quotes, angles := eight|('"'^'&')*ones, eight|('<'^'>')*ones
	found := eight | (eight-' '*ones)&^eight | is(eight, 0x7f) | is(eight, '\\') | is(quotes, '&') | is(angles, '>')
	return found&tops != 0
}
