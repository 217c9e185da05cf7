//go:build linux

package node

import "strings"

// truth is how a metric says yes or no.
func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// sanitized makes s usable in a metric's name: what cannot be in one, with the underscores around it, becomes a single
// underscore.
func sanitized(s string) string {
	valid := func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		end, invalid := i, false
		for end < len(s) && (s[end] == '_' || !valid(s[end])) {
			invalid = invalid || !valid(s[end])
			end++
		}
		switch {
		case invalid:
			b.WriteByte('_')
			i = end
		case end > i:
			b.WriteString(s[i:end])
			i = end
		default:
			b.WriteByte(s[i])
			i++
		}
	}
	return b.String()
}
