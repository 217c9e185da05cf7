package labels

import (
	"slices"
	"strings"
)

// Builder changes a set step by step. Reset it to use it again; it is not for use by several goroutines.
type Builder struct {
	base Labels
	set  []Label
	del  []string
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
	if i := slices.Index(b.del, name); i >= 0 {
		b.del = slices.Delete(b.del, i, i+1)
	}
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
		if !slices.Contains(b.del, name) {
			b.del = append(b.del, name)
		}
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

// Range calls f for each pair as the set stood when Range was called, in no particular order. f may change b.
func (b *Builder) Range(f func(name, value string)) {
	if len(b.set) == 0 && len(b.del) == 0 { // Fast path: base does not change, whatever f does.
		for name, value := range b.base.All() {
			f(name, value)
		}
		return
	}
	for _, l := range b.pairs() {
		f(l.Name, l.Value)
	}
}

// Labels returns the set. The builder can go on being used.
func (b *Builder) Labels() Labels {
	if len(b.set) == 0 && len(b.del) == 0 {
		return b.base
	}
	pairs := b.pairs()
	slices.SortFunc(pairs, byName)
	return pack(pairs)
}

func (b *Builder) pairs() []Label {
	pairs := make([]Label, 0, len(b.set)+16)
	for name, value := range b.base.All() {
		if !slices.Contains(b.del, name) && !slices.ContainsFunc(b.set, func(l Label) bool { return l.Name == name }) {
			pairs = append(pairs, Label{name, value})
		}
	}
	return append(pairs, b.set...)
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
