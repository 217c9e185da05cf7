// Package labels holds the identity of a series: an immutable set of name/value pairs, the builders that make one,
// and the matchers that select by it.
//
// Start with [Labels], [Builder] and [Matcher]. How a set is held is known to this package alone; others iterate,
// look up, compare and hash.
package labels

import (
	"encoding/json"
	"iter"
	"maps"
	"strconv"
	"strings"
	"unsafe"

	"github.com/cespare/xxhash/v2"
)

// Names of labels with a meaning of their own.
const (
	MetricName = "__name__"
	// TypeLabel and UnitLabel hold the type and unit of a metric where they are part of its identity.
	TypeLabel = "__type__"
	UnitLabel = "__unit__"
	// BucketLabel holds the upper bound of a classic histogram's bucket.
	BucketLabel = "le"
	// InstanceName is the label that tells the targets of a job apart.
	InstanceName = "instance"
	// JobName is the label that names the scrape job.
	JobName = "job"
	// MetaPrefix starts the labels that discovery attaches for relabelling alone.
	MetaPrefix = "__meta_"
	// ReservedPrefix starts labels that are dropped after relabelling.
	ReservedPrefix = "__"
)

// Labels is an immutable set of pairs, sorted by name, without empty values. The zero value is the empty set. It is
// a value: copy it freely, and use it from any number of goroutines.
//
// Labels is not comparable by ==, to leave room for other layouts: use [Equal].
type Labels struct {
	_ [0]func()
	// data holds name, value, name, value, …, each as its length and its bytes. A length below 255 is one byte;
	// others are the byte 255 and three bytes little-endian. The layout is the one that Prometheus hashes, so that
	// hash-derived behaviour, such as the spread of scrapes over the interval, comes out the same.
	data string
}

const maxStringBytes = 1<<24 - 1

// Label is one pair.
type Label struct{ Name, Value string }

// EmptyLabels returns the set without pairs.
func EmptyLabels() Labels { return Labels{} }

// FromStrings builds a set from name, value, name, value, … in any order. It panics on an odd number of strings; a
// repeated name keeps the last value, and empty values are left out.
func FromStrings(ss ...string) Labels {
	if len(ss)%2 != 0 {
		panic("labels: odd number of strings")
	}
	b := NewBuilder(Labels{})
	for i := 0; i < len(ss); i += 2 {
		b.Set(ss[i], ss[i+1])
	}
	return b.Labels()
}

// FromMap builds a set from a map; empty values are left out.
func FromMap(m map[string]string) Labels {
	b := NewBuilder(Labels{})
	for name, value := range m {
		b.Set(name, value)
	}
	return b.Labels()
}

// All yields the pairs in order of their names.
func (ls Labels) All() iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for i := 0; i < len(ls.data); {
			var name, value string
			name, i = stringAt(ls.data, i)
			value, i = stringAt(ls.data, i)
			if !yield(name, value) {
				return
			}
		}
	}
}

// Get returns the value of name, or "" if the set lacks it.
func (ls Labels) Get(name string) string {
	for i := 0; i < len(ls.data); {
		size, at := sizeAt(ls.data, i)
		n := ls.data[at : at+size]
		i = at + size
		if n == name {
			value, _ := stringAt(ls.data, i)
			return value
		}
		if n > name {
			return ""
		}
		size, at = sizeAt(ls.data, i)
		i = at + size
	}
	return ""
}

// Has reports whether the set holds name.
func (ls Labels) Has(name string) bool { return ls.Get(name) != "" }

// Len returns the number of pairs.
func (ls Labels) Len() int {
	n := 0
	for i := 0; i < len(ls.data); n++ {
		size, at := sizeAt(ls.data, i)
		size, at = sizeAt(ls.data, at+size)
		i = at + size
	}
	return n
}

// IsEmpty reports whether the set has no pairs.
func (ls Labels) IsEmpty() bool { return ls.data == "" }

// ByteSize returns the memory that the set's pairs take, in bytes.
func (ls Labels) ByteSize() int { return len(ls.data) }

// Hash returns a hash of the whole set, the same in each process and equal to upstream's.
func (ls Labels) Hash() uint64 { return xxhash.Sum64String(ls.data) }

// Equal reports whether a and b hold the same pairs.
func Equal(a, b Labels) bool { return a.data == b.data }

// Compare orders sets pair by pair, name before value; a set that is a prefix of another comes first.
func Compare(a, b Labels) int {
	for i, j := 0, 0; ; {
		if i >= len(a.data) || j >= len(b.data) {
			return (len(a.data) - i) - (len(b.data) - j)
		}
		var x, y string
		x, i = stringAt(a.data, i)
		y, j = stringAt(b.data, j)
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
	}
}

// AppendKey appends bytes that identify the whole set: two sets have the same key exactly when they are equal.
func (ls Labels) AppendKey(dst []byte) []byte { return append(dst, ls.data...) }

// AppendKeyBy appends bytes that identify the subset of the given names, which must be sorted.
func (ls Labels) AppendKeyBy(dst []byte, names []string) []byte {
	return ls.appendFiltered(dst, names, true)
}

// AppendKeyWithout appends bytes that identify the set without the given names, which must be sorted, and without the
// metric name.
func (ls Labels) AppendKeyWithout(dst []byte, names []string) []byte {
	return ls.appendFiltered(dst, names, false)
}

// KeepSorted returns the subset of the given names, which must be sorted.
func (ls Labels) KeepSorted(names []string) Labels { return ls.filtered(names, true) }

// DropSorted returns the set without the given names, which must be sorted, and without the metric name.
func (ls Labels) DropSorted(names []string) Labels { return ls.filtered(names, false) }

// DropMetricName returns the set without the metric name.
func (ls Labels) DropMetricName() Labels { return ls.filtered(nil, false) }

// filtered returns the end of ls itself, without copying it, if that is what is kept, as it is without a metric name.
func (ls Labels) filtered(names []string, keep bool) Labels {
	var buf [256]byte
	kept := ls.appendFiltered(buf[:0], names, keep)
	rest := ls.data[len(ls.data)-len(kept):]
	if 2*len(rest) >= len(ls.data) && rest == string(kept) {
		return Labels{data: rest}
	}
	return Labels{data: string(kept)}
}

func (ls Labels) appendFiltered(dst []byte, names []string, keep bool) []byte {
	j := 0
	for i := 0; i < len(ls.data); {
		start := i
		var name string
		name, i = stringAt(ls.data, i)
		size, at := sizeAt(ls.data, i)
		i = at + size
		for j < len(names) && names[j] < name {
			j++
		}
		listed := j < len(names) && names[j] == name
		if listed == keep && (keep || name != MetricName) {
			dst = append(dst, ls.data[start:i]...)
		}
	}
	return dst
}

// String formats the set as {name="value", …}, quoting names outside the legacy character set.
func (ls Labels) String() string {
	b := []byte{'{'}
	for name, value := range ls.All() {
		if len(b) > 1 {
			b = append(b, ", "...)
		}
		if IsValidLegacyLabelName(name) {
			b = append(b, name...)
		} else {
			b = strconv.AppendQuote(b, name)
		}
		b = append(b, '=')
		b = strconv.AppendQuote(b, value)
	}
	return string(append(b, '}'))
}

// Map returns the set as a new map.
func (ls Labels) Map() map[string]string {
	return maps.Collect(ls.All())
}

// MarshalJSON encodes the set as an object.
func (ls Labels) MarshalJSON() ([]byte, error) { return json.Marshal(ls.Map()) }

// UnmarshalJSON decodes an object of strings.
func (ls *Labels) UnmarshalJSON(b []byte) error {
	var m map[string]string
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	*ls = FromMap(m)
	return nil
}

func sizeAt(data string, i int) (size, next int) {
	if c := data[i]; c != 255 {
		return int(c), i + 1
	}
	return int(data[i+1]) | int(data[i+2])<<8 | int(data[i+3])<<16, i + 4
}

func stringAt(data string, i int) (s string, next int) {
	size, at := sizeAt(data, i)
	return data[at : at+size], at + size
}

func appendString(dst []byte, s string) []byte {
	switch n := len(s); {
	case n < 255:
		dst = append(dst, byte(n))
	case n <= maxStringBytes:
		dst = append(dst, 255, byte(n), byte(n>>8), byte(n>>16))
	default:
		panic("labels: string of " + strconv.Itoa(n) + " bytes is longer than 16 MiB")
	}
	return append(dst, s...)
}

// packedSize returns what appendString appends, in bytes.
func packedSize(s string) int {
	if len(s) < 255 {
		return 1 + len(s)
	}
	return 4 + len(s)
}

// pack builds a set from pairs that are sorted by name, without duplicates and without empty values.
func pack(pairs []Label) Labels {
	size := 0
	for _, p := range pairs {
		size += packedSize(p.Name) + packedSize(p.Value)
	}
	data := make([]byte, 0, size)
	for _, p := range pairs {
		data = appendString(appendString(data, p.Name), p.Value)
	}
	return labelsOf(data)
}

// labelsOf takes over data.
func labelsOf(data []byte) Labels {
	return Labels{data: unsafe.String(unsafe.SliceData(data), len(data))}
}

// IsValidLegacyLabelName reports whether name needs no quotes: [a-zA-Z_][a-zA-Z0-9_]*.
func IsValidLegacyLabelName(name string) bool {
	if name == "" {
		return false
	}
	for i, c := range []byte(name) {
		if !isLetter(c) && (i == 0 || !isDigit(c)) {
			return false
		}
	}
	return true
}

// IsValidLegacyMetricName reports whether name needs no quotes: [a-zA-Z_:][a-zA-Z0-9_:]*.
func IsValidLegacyMetricName(name string) bool {
	if name == "" {
		return false
	}
	for i, c := range []byte(name) {
		if !isLetter(c) && c != ':' && (i == 0 || !isDigit(c)) {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
