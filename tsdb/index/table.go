package index

import (
	"encoding/binary"
	"fmt"
	"sort"
	"strings"
)

// postingsTable tells for each label pair, sorted by name and value, where the list of its series begins.
type postingsTable struct {
	body  []byte
	names []tableName
	// all is the place of the list of all series, if there is one.
	all    uint64
	hasAll bool
}

// tableName is the part of the table that holds the values of one name.
type tableName struct {
	name string
	// start and end bound the part of the table's body, which holds count entries; samples are the places of each
	// 32nd of them.
	start, end uint32
	count      int
	samples    []uint32
}

func openTable(data []byte, offset uint64) (postingsTable, error) {
	const what = "postings offset table"
	body, err := section(data, what, offset)
	if err != nil {
		return postingsTable{}, err
	}
	if len(body) < 4 {
		return postingsTable{}, corrupt(what, offset, "it has no count")
	}
	t := postingsTable{body: body[4:]}
	count := int(binary.BigEndian.Uint32(body))
	d := decoder{b: t.body}
	for i := range count {
		at := uint32(len(t.body) - len(d.b))
		name, value, list := tableEntry(&d)
		if d.bad {
			return postingsTable{}, corrupt(what, offset, fmt.Sprintf("entry %d of %d is damaged", i, count))
		}
		if name == "" && value == "" {
			t.all, t.hasAll = list, true
			continue
		}
		if n := len(t.names); n == 0 || t.names[n-1].name != name {
			if n > 0 && t.names[n-1].name > name {
				return postingsTable{}, corrupt(what, offset, fmt.Sprintf("entry %d is not sorted", i))
			}
			t.names = append(t.names, tableName{name: strings.Clone(name), start: at})
		}
		last := &t.names[len(t.names)-1]
		if last.count%sampleEvery == 0 {
			last.samples = append(last.samples, at)
		}
		last.count++
		last.end = uint32(len(t.body) - len(d.b))
	}
	return t, nil
}

// tableEntry reads an entry: the number of strings, which is two, the strings, and the place of the list.
func tableEntry(d *decoder) (name, value string, list uint64) {
	if d.uvarint() != 2 {
		d.fail()
	}
	return d.str(), d.str(), d.uvarint()
}

func (t *postingsTable) find(name string) (*tableName, bool) {
	i := sort.Search(len(t.names), func(k int) bool { return t.names[k].name >= name })
	if i == len(t.names) || t.names[i].name != name {
		return nil, false
	}
	return &t.names[i], true
}

// from calls f with each value of a name from the first that is not less than value, and the place of its list, until
// f returns false. The strings share the table's memory.
func (t *postingsTable) from(n *tableName, value string, f func(value string, list uint64) bool) {
	block := 0
	if value != "" {
		block = max(0, sort.Search(len(n.samples), func(k int) bool {
			d := decoder{b: t.body[n.samples[k]:]}
			_, v, _ := tableEntry(&d)
			return v > value
		})-1)
	}
	d := decoder{b: t.body[n.samples[block]:n.end]}
	for len(d.b) > 0 {
		_, v, list := tableEntry(&d)
		if d.bad {
			return
		}
		if v >= value && !f(v, list) {
			return
		}
	}
}
