package head

import (
	"cmp"
	"slices"
	"strings"

	"github.com/narthex-io/narthex/model/labels"
)

// pairs interns name/value pairs: a label set becomes a list of numbers, in the order of the names. It also holds, for
// each pair, the series that have it.
type pairs struct {
	names  map[string]*labelName
	all    []pair
	unused []uint32
}

type labelName struct {
	name   string
	values map[string]uint32 // value to pair
}

type pair struct {
	name  *labelName
	value string
	// ids are the series, ascending. Readers use the slice without a lock: it is only ever appended to, or replaced.
	ids []uint32
}

func newPairs() *pairs { return &pairs{names: map[string]*labelName{}} }

// find returns the number of a pair.
func (p *pairs) find(name, value string) (uint32, bool) {
	n, ok := p.names[name]
	if !ok {
		return 0, false
	}
	i, ok := n.values[value]
	return i, ok
}

// intern returns the number of a pair, which gets one if it has none.
func (p *pairs) intern(name, value string) uint32 {
	n, ok := p.names[name]
	if !ok {
		n = &labelName{name: strings.Clone(name), values: map[string]uint32{}}
		p.names[n.name] = n
	}
	if i, ok := n.values[value]; ok {
		return i
	}
	value = strings.Clone(value)
	var i uint32
	if last := len(p.unused) - 1; last >= 0 {
		i, p.unused = p.unused[last], p.unused[:last]
		p.all[i] = pair{name: n, value: value}
	} else {
		i = uint32(len(p.all))
		p.all = append(p.all, pair{name: n, value: value})
	}
	n.values[value] = i
	return i
}

// internAll appends the numbers of a label set's pairs, and adds the series to their lists.
func (p *pairs) internAll(dst []uint32, ls labels.Labels, id uint32) []uint32 {
	for name, value := range ls.All() {
		i := p.intern(name, value)
		e := &p.all[i]
		if len(e.ids) == cap(e.ids) {
			e.ids = slices.Grow(e.ids, 1+len(e.ids)/8) // Less room to spare than append leaves.
		}
		e.ids = append(e.ids, id)
		dst = append(dst, i)
	}
	return dst
}

// equal reports whether the numbered pairs are the label set.
func (p *pairs) equal(numbers []uint32, ls labels.Labels) bool {
	i := 0
	for name, value := range ls.All() {
		if i == len(numbers) {
			return false
		}
		e := &p.all[numbers[i]]
		if e.value != value || e.name.name != name {
			return false
		}
		i++
	}
	return i == len(numbers)
}

// value returns the value of a name, "" if there is none.
func (p *pairs) value(numbers []uint32, name string) string {
	for _, i := range numbers {
		if e := &p.all[i]; e.name.name == name {
			return e.value
		}
	}
	return ""
}

// compare orders two sets as [labels.Compare] does.
func (p *pairs) compare(a, b []uint32) int {
	for i := range min(len(a), len(b)) {
		if a[i] == b[i] {
			continue
		}
		x, y := &p.all[a[i]], &p.all[b[i]]
		if x.name != y.name {
			return strings.Compare(x.name.name, y.name.name)
		}
		return strings.Compare(x.value, y.value)
	}
	return cmp.Compare(len(a), len(b))
}

// remove takes the dead series, ascending, out of the lists of the given pairs, and forgets pairs without series.
func (p *pairs) remove(touched map[uint32]struct{}, dead []uint32) {
	for i := range touched {
		e := &p.all[i]
		kept := make([]uint32, 0, len(e.ids))
		for _, id := range e.ids {
			if _, found := slices.BinarySearch(dead, id); !found {
				kept = append(kept, id)
			}
		}
		if len(kept) > 0 {
			e.ids = slices.Clip(kept)
			continue
		}
		delete(e.name.values, e.value)
		if len(e.name.values) == 0 {
			delete(p.names, e.name.name)
		}
		p.all[i] = pair{}
		p.unused = append(p.unused, i)
	}
}
