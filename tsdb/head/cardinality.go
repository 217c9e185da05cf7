package head

import (
	"cmp"
	"slices"

	"github.com/narthex-io/narthex/model/labels"
)

// Cardinality tells where the series in memory come from. Each list holds the largest counts, largest first.
type Cardinality struct {
	// LabelPairs is the number of different pairs of a label's name and value.
	LabelPairs int
	// SeriesByMetric and SeriesByPair count series, the latter by name=value; ValuesByLabel counts the values of each
	// label, and BytesByLabel the bytes of the values of each, once for every series.
	SeriesByMetric, SeriesByPair, ValuesByLabel, BytesByLabel []Count
}

// Count is a number of something that has a name.
type Count struct {
	Name  string
	Count int
}

// Cardinality counts, and returns up to limit, which is positive, of each. No series is created meanwhile.
func (h *Head) Cardinality(limit int) Cardinality {
	x := &h.index
	x.mu.RLock()
	defer x.mu.RUnlock()
	metrics, labelPairs, values, bytes := top{limit: limit}, top{limit: limit}, top{limit: limit}, top{limit: limit}
	var c Cardinality
	for name, l := range x.pairs.names {
		c.LabelPairs += len(l.values)
		values.add(len(l.values), name, "")
		size := 0
		for value, number := range l.values {
			n := len(x.pairs.all[number].ids)
			size += len(value) * n
			labelPairs.add(n, name, value)
			if name == labels.MetricName {
				metrics.add(n, "", value)
			}
		}
		bytes.add(size, name, "")
	}
	c.SeriesByMetric, c.SeriesByPair, c.ValuesByLabel, c.BytesByLabel = metrics.counts(), labelPairs.counts(), values.counts(), bytes.counts()
	return c
}

// top collects the largest counts.
type top struct {
	limit int
	all   []topCount
	// least is the smallest count that can still get in, once there are limit.
	least int
}

type topCount struct {
	n           int
	name, value string
}

func (t *top) add(n int, name, value string) {
	if n < t.least {
		return
	}
	t.all = append(t.all, topCount{n, name, value})
	if len(t.all) >= 4*t.limit {
		t.cut()
	}
}

func (t *top) cut() {
	slices.SortFunc(t.all, func(a, b topCount) int {
		return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.name, b.name), cmp.Compare(a.value, b.value))
	})
	if len(t.all) > t.limit {
		t.all = t.all[:t.limit]
		t.least = t.all[t.limit-1].n
	}
}

func (t *top) counts() []Count {
	t.cut()
	counts := make([]Count, len(t.all))
	for i, c := range t.all {
		switch {
		case c.name == "":
			c.name = c.value
		case c.value != "":
			c.name += "=" + c.value
		}
		counts[i] = Count{c.name, c.n}
	}
	return counts
}
