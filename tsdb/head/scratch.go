package head

import (
	"slices"

	"github.com/narthex-io/narthex/model/labels"
)

// scratch is what labels are made with. A few labels of many series are few sets, of which each should be made once.
type scratch struct {
	builder labels.ScratchBuilder
	chosen  []uint32
	// known are sets that were chosen before, by the numbers of their pairs as they were after so many removals.
	known    [knownSets]knownSet
	removals uint64
}

const knownSets = 64

type knownSet struct {
	numbers []uint32
	set     labels.Labels
}

// make returns the labels with the given numbers. The caller holds the lock of the index, as with choose.
func (s *scratch) make(pairs *pairs, numbers []uint32) labels.Labels {
	s.builder.Reset()
	for _, number := range numbers {
		e := &pairs.all[number]
		s.builder.Add(e.name.name, e.value)
	}
	return s.builder.Labels()
}

// choose is make for those of the labels that have one of the names.
func (s *scratch) choose(x *seriesIndex, numbers []uint32, names []string) labels.Labels {
	if s.removals != x.removals {
		s.known, s.removals = [knownSets]knownSet{}, x.removals
	}
	s.chosen = s.chosen[:0]
	hash := uint32(0)
	for _, number := range numbers {
		if slices.Contains(names, x.pairs.all[number].name.name) {
			s.chosen = append(s.chosen, number)
			hash = (hash ^ number) * 0x9e3779b1
		}
	}
	known := &s.known[hash>>16%knownSets]
	if !slices.Equal(known.numbers, s.chosen) {
		known.numbers, known.set = append(known.numbers[:0], s.chosen...), s.make(x.pairs, s.chosen)
	}
	return known.set
}
