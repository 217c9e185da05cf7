package labels

import "strings"

// maxPiece is the size up to which an expression is compiled at once, which takes some milliseconds for most.
const maxPiece = 8 << 10

// piecesOf cuts an expression that is a long list of alternatives into several, of which one matches whenever the
// expression does. It returns nil if the expression is not long, or not such a list, or not surely valid.
func piecesOf(expr string) []string {
	if len(expr) <= maxPiece {
		return nil
	}
	flags, list := cutFlags(expr)
	bars, ok := topBars(list)
	for ok && len(bars) == 0 && isGroup(list) {
		list = strings.TrimPrefix(list[1:len(list)-1], "?:")
		bars, ok = topBars(list)
	}
	if !ok || len(bars) == 0 {
		return nil
	}
	var pieces []string
	begin, end := 0, 0
	for _, bar := range append(bars, len(list)) {
		if len(flags)+bar-begin > maxPiece && end > begin {
			pieces = append(pieces, flags+list[begin:end])
			begin = end + 1
		}
		end = bar
	}
	if len(pieces) == 0 {
		return nil
	}
	return append(pieces, flags+list[begin:])
}

// cutFlags separates flags that are for all of an expression.
func cutFlags(expr string) (flags, rest string) {
	if !strings.HasPrefix(expr, "(?") {
		return "", expr
	}
	end := 2
	for end < len(expr) && 'a' <= expr[end]|0x20 && expr[end]|0x20 <= 'z' {
		end++
	}
	if end < len(expr) && expr[end] == ')' {
		return expr[:end+1], expr[end+1:]
	}
	return "", expr
}

// isGroup reports whether a list without bars of its own is nothing but a group: its first parenthesis is closed by the
// last byte.
func isGroup(list string) bool {
	if list == "" || list[0] != '(' {
		return false
	}
	depth, closed := 0, -1
	eachMeta(list, func(i int) {
		switch list[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 && closed < 0 {
				closed = i
			}
		}
	})
	return closed == len(list)-1
}

// topBars returns where the bars are that lie in no group. It reports false for what is not understood here: flags and
// names of groups, whose meaning reaches beyond an alternative, quotations, and what is not closed.
func topBars(list string) (bars []int, ok bool) {
	if strings.Contains(list, `\Q`) {
		return nil, false
	}
	depth, ok := 0, true
	closed := eachMeta(list, func(i int) {
		switch list[i] {
		case '(':
			depth++
			if strings.HasPrefix(list[i:], "(?") && !strings.HasPrefix(list[i:], "(?:") {
				ok = false
			}
		case ')':
			if depth--; depth < 0 {
				ok = false
			}
		case '|':
			if depth == 0 {
				bars = append(bars, i)
			}
		}
	})
	return bars, ok && closed && depth == 0
}

// eachMeta calls f for each parenthesis and bar that is neither escaped nor in a class of runes. It reports whether all
// classes are closed.
func eachMeta(list string, f func(i int)) (closed bool) {
	for i := 0; i < len(list); i++ {
		switch list[i] {
		case '\\':
			i++
		case '[':
			if i = endOfClass(list, i); i == len(list) {
				return false
			}
		case '(', ')', '|':
			f(i)
		}
	}
	return true
}

// endOfClass returns where the class is closed that begins at i, or the length of the list.
func endOfClass(list string, i int) int {
	i++
	if strings.HasPrefix(list[i:], "^") {
		i++
	}
	for first := i; i < len(list); i++ {
		switch {
		case list[i] == '\\':
			i++
		case strings.HasPrefix(list[i:], "[:"):
			if end := strings.Index(list[i+2:], ":]"); end >= 0 {
				i += 2 + end + 1
			}
		case list[i] == ']' && i > first:
			return i
		}
	}
	return len(list)
}
