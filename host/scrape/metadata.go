package scrape

import (
	"bytes"
	"maps"
	"slices"
	"sync"
	"unique"

	"github.com/narthex-io/narthex/host/scrape/exposition"
	"github.com/narthex-io/narthex/model/sample"
)

// metadataRounds is how many good scrapes metadata is kept for after it was last exposed.
const metadataRounds = 10

// metadata is what a target says about its metric families. It is safe for concurrent use.
type metadata struct {
	mu       sync.Mutex
	families map[string]*family
	// round is the current scrape, good the last that succeeded.
	round, good uint64
	// last is the family of the latest line of metadata; only the goroutine of the loop uses it.
	last *family
}

type family struct {
	sample.Metadata
	// name is the key, escaped the help text as exposed, to recognise it. All targets that say the same share them.
	name, escaped unique.Handle[string]
	// seen is the latest round that exposed the family.
	seen uint64
}

func (m *metadata) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.round, m.last = m.good+1, nil
}

// set notes the line that the scanner is at.
func (m *metadata) set(s *exposition.Scanner, kind exposition.Kind) {
	name, text := s.Meta()
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.families[string(name)]
	if f == nil {
		if m.families == nil {
			m.families = map[string]*family{}
		}
		f = &family{Metadata: sample.Metadata{Type: sample.TypeUnknown}, name: unique.Make(string(name)), escaped: unique.Make("")}
		m.families[f.name.Value()] = f
	}
	f.seen, m.last = m.round, f
	switch kind {
	case exposition.Help:
		if f.escaped.Value() != string(text) {
			f.escaped = unique.Make(string(text))
			if f.Help = f.escaped.Value(); bytes.IndexByte(text, '\\') >= 0 {
				f.Help = s.HelpText(text)
			}
		}
	case exposition.Type:
		f.Type = s.MetricType()
	case exposition.Unit:
		if f.Unit != string(text) {
			f.Unit = string(text)
		}
	}
}

// of returns the metadata of the sample that the scanner is at, nil if there is none. It is good until the next line.
func (m *metadata) of(s *exposition.Scanner) *sample.Metadata {
	if m.last == nil || !s.InFamily() {
		return nil
	}
	return &m.last.Metadata
}

// end ends a good scrape and forgets, now and then, what has long not been exposed.
func (m *metadata) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.good = m.round
	if m.good%metadataRounds == 0 {
		maps.DeleteFunc(m.families, func(_ string, f *family) bool { return f.seen+metadataRounds < m.good })
	}
}

// list returns all families, sorted by name.
func (m *metadata) list() []MetricMetadata {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]MetricMetadata, 0, len(m.families))
	for _, name := range slices.Sorted(maps.Keys(m.families)) {
		out = append(out, MetricMetadata{Metric: name, Metadata: m.families[name].Metadata})
	}
	return out
}

// size returns the number of families and of the bytes of their names and texts.
func (m *metadata) size() (families, bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, f := range m.families {
		bytes += len(name) + len(f.Help) + len(f.Unit) + len(f.Type)
	}
	return len(m.families), bytes
}
