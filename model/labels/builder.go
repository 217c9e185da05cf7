package labels

import (
	"slices"
	"strings"
)

// Builder changes a set step by step. Reset it to use it again; it is not for use by several goroutines.
type Builder struct {
	base Labels
	// set and del have no name in common. del may hold one several times.
	set []Label
	del []string
	// scratch is the memory of Range while it does not run.
	scratch []Label
}

// NewBuilder returns a builder that starts from base.
func NewBuilder(base Labels) *Builder { return &Builder{base: base} }

// Reset starts again from base.
func (b *Builder) Reset(base Labels) {
	b.base = base
	b.set = b.set[:0]
	b.del = b.del[:0]
}

// Set gives name a value; an empty value removes it.
func (b *Builder) Set(name, value string) *Builder {
	if value == "" {
		return b.Del(name)
	}
	b.del = slices.DeleteFunc(b.del, func(s string) bool { return s == name })
	for i := range b.set {
		if b.set[i].Name == name {
			b.set[i].Value = value
			return b
		}
	}
	b.set = append(b.set, Label{name, value})
	return b
}

// Del removes names.
func (b *Builder) Del(names ...string) *Builder {
	for _, name := range names {
		b.set = slices.DeleteFunc(b.set, func(l Label) bool { return l.Name == name })
		b.del = append(b.del, name)
	}
	return b
}

// Keep removes all names but the given ones.
func (b *Builder) Keep(names ...string) *Builder {
	b.Range(func(name, _ string) {
		if !slices.Contains(names, name) {
			b.Del(name)
		}
	})
	return b
}

// Get returns the value of name as the set stands, or "".
func (b *Builder) Get(name string) string {
	for _, l := range b.set {
		if l.Name == name {
			return l.Value
		}
	}
	if slices.Contains(b.del, name) {
		return ""
	}
	return b.base.Get(name)
}

// Range calls f for each pair as the set stood when Range was called, in order of their names. f may change b.
func (b *Builder) Range(f func(name, value string)) {
	if len(b.set) == 0 && len(b.del) == 0 { // Fast path: base does not change, whatever f does.
		for name, value := range b.base.All() {
			f(name, value)
		}
		return
	}
	pairs := b.scratch[:0]
	b.scratch = nil // f may call Range.
	b.merge(func(name, value, _ string) { pairs = append(pairs, Label{name, value}) })
	for _, l := range pairs {
		f(l.Name, l.Value)
	}
	b.scratch = pairs
}

// Labels returns the set, which is the one that the builder started from if nothing is different. The builder can go
// on being used.
func (b *Builder) Labels() Labels {
	if len(b.set) == 0 && len(b.del) == 0 {
		return b.base
	}
	size, same := 0, true
	b.merge(func(name, value, packed string) {
		if packed == "" {
			size += packedSize(name) + packedSize(value)
			same = same && b.base.Get(name) == value
		}
		size += len(packed)
	})
	if same && size == len(b.base.data) {
		return b.base
	}
	data := make([]byte, 0, size)
	b.merge(func(name, value, packed string) {
		if packed == "" {
			data = appendString(appendString(data, name), value)
		}
		data = append(data, packed...)
	})
	return labelsOf(data)
}

// merge calls f for each pair, in order of their names. Those of the base come with their place in it.
func (b *Builder) merge(f func(name, value, packed string)) {
	slices.SortFunc(b.set, byName)
	slices.Sort(b.del)
	set, del, data := b.set, b.del, b.base.data
	for i := 0; i < len(data); {
		start := i
		var name, value string
		name, i = stringAt(data, i)
		value, i = stringAt(data, i)
		for len(set) > 0 && set[0].Name < name {
			f(set[0].Name, set[0].Value, "")
			set = set[1:]
		}
		for len(del) > 0 && del[0] < name {
			del = del[1:]
		}
		switch {
		case len(set) > 0 && set[0].Name == name:
			f(name, set[0].Value, "")
			set = set[1:]
		case len(del) > 0 && del[0] == name:
		default:
			f(name, value, data[start:i])
		}
	}
	for _, l := range set {
		f(l.Name, l.Value, "")
	}
}

// ScratchBuilder makes sets from pairs that are at hand anyway, such as those of a parsed line, and reuses its memory.
type ScratchBuilder struct{ pairs []Label }

// Reset forgets all pairs.
func (b *ScratchBuilder) Reset() { b.pairs = b.pairs[:0] }

// Add appends a pair. The strings need not outlive the call to [ScratchBuilder.Labels], which copies them. Empty
// values are left out.
func (b *ScratchBuilder) Add(name, value string) {
	if value != "" {
		b.pairs = append(b.pairs, Label{name, value})
	}
}

// Sort orders the pairs by name, as Labels wants them.
func (b *ScratchBuilder) Sort() { slices.SortFunc(b.pairs, byName) }

// Duplicate returns a name that was added twice, if there is one. Call it after Sort.
func (b *ScratchBuilder) Duplicate() (name string, ok bool) {
	for i := 1; i < len(b.pairs); i++ {
		if b.pairs[i].Name == b.pairs[i-1].Name {
			return b.pairs[i].Name, true
		}
	}
	return "", false
}

// Labels returns the set of the pairs, which must be sorted and free of duplicates.
func (b *ScratchBuilder) Labels() Labels {
	if len(b.pairs) == 0 {
		return Labels{}
	}
	return pack(b.pairs)
}

func byName(a, b Label) int { return strings.Compare(a.Name, b.Name) }
