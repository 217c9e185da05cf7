package plan

import (
	"slices"
	"strings"
)

// Read stands for what several selectors read in common.
type Read struct {
	// Number tells reads of a plan from each other, from 1 on.
	Number int
}

// shareSelectors lets selectors with the same matchers read in common, so that series are found once, and samples are
// decoded once where both are looked at one after the other:
//
//	temperature - temperature offset 10m  →  one read of temperature
//
// Whether that pays depends on how far the times lie apart that they look at; [Grid] and lookback tell, which come
// with the evaluation.
func shareSelectors(n Node) Node {
	users := map[string][]*Selector{}
	var order []string
	Walk(n, func(n Node) {
		if s, ok := n.(*Selector); ok {
			key := s.readKey()
			if users[key] == nil {
				order = append(order, key)
			}
			users[key] = append(users[key], s)
		}
	})
	reads := 0
	for _, key := range order {
		if len(users[key]) < 2 {
			continue
		}
		reads++
		read := &Read{Number: reads}
		for _, s := range users[key] {
			s.Read = read
		}
	}
	return n
}

// readKey is equal for selectors whose series and labels are the same.
func (n *Selector) readKey() string {
	texts := make([]string, 0, len(n.Matchers)+1)
	for _, m := range n.Matchers {
		texts = append(texts, m.String())
	}
	slices.Sort(texts)
	key := strings.Join(slices.Compact(texts), ",")
	if n.TotalsOnly {
		key += " totals"
	}
	if n.Hints.Project {
		key += " by " + strings.Join(n.Hints.Labels, ",")
	}
	return key
}
