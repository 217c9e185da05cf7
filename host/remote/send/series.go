package send

import (
	"encoding/binary"
	"strings"
	"sync/atomic"

	"github.com/narthex-io/narthex/host/remote/wire"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/relabel"
	"github.com/narthex-io/narthex/model/sample"
)

// series is a series as requests name it. It is made once, and belongs to the reader of the log but for what says
// otherwise; shards read it.
type series struct {
	// text are the labels as fields of a message of 1.0.
	text []byte
	// symbols are the names and values of the labels, by turns, in 2.0.
	symbols []*symbol
	// about is the metadata that 2.0 sends along, nil if there is none. It changes.
	about atomic.Pointer[about]
	// segment is the latest one of the log that named the series.
	segment int
	// dropped by relabelling.
	dropped bool
}

// about is the metadata of a series.
type about struct {
	typ        uint64
	help, unit *symbol
}

// symbol is a text that series share. Its number spreads symbols in hash tables; several may have the same one.
type symbol struct {
	text string
	id   uint32
	uses int // counted by the reader of the log
}

// pageSeries is the number of consecutive references that are kept together.
const pageSeries = 256

// table finds series by the references that the log uses.
type table struct {
	pages map[uint64]*seriesPage
	// last is the page that was looked up last: consecutive samples are of neighbours, mostly.
	lastKey uint64
	last    *seriesPage
	count   int
}

type seriesPage struct {
	all  [pageSeries]*series
	used int
}

func newTable() *table { return &table{pages: map[uint64]*seriesPage{}} }

func (t *table) page(ref uint64) *seriesPage {
	key := ref / pageSeries
	if t.last == nil || t.lastKey != key {
		p := t.pages[key]
		if p == nil {
			return nil
		}
		t.lastKey, t.last = key, p
	}
	return t.last
}

// get returns nil for references that are not known.
func (t *table) get(ref uint64) *series {
	if p := t.page(ref); p != nil {
		return p.all[ref%pageSeries]
	}
	return nil
}

// set makes a reference lead to a series, and returns the one to which it led before.
func (t *table) set(ref uint64, s *series) (before *series) {
	p := t.page(ref)
	if p == nil {
		p = &seriesPage{}
		t.pages[ref/pageSeries] = p
	}
	before, p.all[ref%pageSeries] = p.all[ref%pageSeries], s
	if before == nil {
		p.used++
		t.count++
	}
	return before
}

// sweep forgets the series for which keep is false.
func (t *table) sweep(keep func(ref uint64, s *series) bool) {
	t.last = nil
	for key, p := range t.pages {
		for i, s := range p.all {
			if s != nil && !keep(key*pageSeries+uint64(i), s) {
				p.all[i] = nil
				p.used--
				t.count--
			}
		}
		if p.used == 0 {
			delete(t.pages, key)
		}
	}
}

// namer makes series of the labels that the log has.
type namer struct {
	message     Message
	external    labels.Labels
	rules       []*relabel.Config
	typeAndUnit bool

	builder *labels.Builder
	symbols map[string]*symbol
	next    uint32
}

func newNamer(cfg *Config, external labels.Labels, typeAndUnit bool) *namer {
	return &namer{
		message: cfg.ProtobufMessage, external: external, rules: cfg.WriteRelabelConfigs, typeAndUnit: typeAndUnit,
		builder: labels.NewBuilder(labels.EmptyLabels()), symbols: map[string]*symbol{},
	}
}

// Labels that tell the type and the unit of a series.
const typeLabel, unitLabel = "__type__", "__unit__"

// series makes a series of labels as they are stored.
func (n *namer) series(ls labels.Labels) *series {
	if !n.external.IsEmpty() || len(n.rules) > 0 {
		var keep bool
		if ls, keep = n.relabel(ls); !keep {
			return &series{dropped: true}
		}
	}
	if n.message == V1 {
		return &series{text: appendLabels(make([]byte, 0, sizeOfLabels(ls)), 1, ls)}
	}
	s := &series{symbols: make([]*symbol, 0, 2*ls.Len())}
	for name, value := range ls.All() {
		s.symbols = append(s.symbols, n.intern(name), n.intern(value))
	}
	if n.typeAndUnit {
		if typ, unit := ls.Get(typeLabel), ls.Get(unitLabel); typ != "" || unit != "" {
			s.about.Store(&about{typ: wire.MetricTypeNumber(sample.MetricType(typ)), help: n.intern(""), unit: n.intern(unit)})
		}
	}
	return s
}

// relabel adds the external labels that the series lacks and applies the rules.
func (n *namer) relabel(ls labels.Labels) (labels.Labels, bool) {
	n.builder.Reset(ls)
	for name, value := range n.external.All() {
		if !ls.Has(name) {
			n.builder.Set(name, value)
		}
	}
	if !relabel.Process(n.rules, n.builder) {
		return labels.Labels{}, false
	}
	ls = n.builder.Labels()
	return ls, !ls.IsEmpty()
}

// describe gives a series of 2.0 its metadata.
func (n *namer) describe(s *series, md *sample.Metadata) {
	if n.message != V2 || s.dropped {
		return
	}
	next := &about{typ: wire.MetricTypeNumber(md.Type), help: n.intern(md.Help), unit: n.intern(md.Unit)}
	before := s.about.Load()
	if n.typeAndUnit { // Then labels tell them.
		unit := ""
		if next.typ = 0; before != nil {
			next.typ, unit = before.typ, before.unit.text
		}
		n.release(next.unit)
		next.unit = n.intern(unit)
	}
	s.about.Store(next)
	if before != nil {
		n.release(before.help)
		n.release(before.unit)
	}
}

// intern returns the symbol of a text, with one more use.
func (n *namer) intern(text string) *symbol {
	s := n.symbols[text]
	if s == nil {
		s = &symbol{text: strings.Clone(text), id: n.next}
		n.next++
		n.symbols[s.text] = s
	}
	s.uses++
	return s
}

func (n *namer) release(s *symbol) {
	if s.uses--; s.uses == 0 {
		delete(n.symbols, s.text)
	}
}

// forget gives back what a series uses. Requests under way may still name it.
func (n *namer) forget(s *series) {
	for _, one := range s.symbols {
		n.release(one)
	}
	if a := s.about.Load(); a != nil {
		n.release(a.help)
		n.release(a.unit)
	}
}

// appendLabels appends labels as fields with a number, each a message of name and value.
func appendLabels(dst []byte, field byte, ls labels.Labels) []byte {
	for name, value := range ls.All() {
		dst = append(dst, field<<3|2)
		dst = binary.AppendUvarint(dst, uint64(sizeOfText(name)+sizeOfText(value)))
		dst = appendText(dst, 1, name)
		dst = appendText(dst, 2, value)
	}
	return dst
}

func sizeOfLabels(ls labels.Labels) int {
	size := 0
	for name, value := range ls.All() {
		n := sizeOfText(name) + sizeOfText(value)
		size += 1 + sizeOfVarint(uint64(n)) + n
	}
	return size
}

// appendText appends a field with a text.
func appendText(dst []byte, field byte, s string) []byte {
	dst = append(dst, field<<3|2)
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func sizeOfText(s string) int { return 1 + sizeOfVarint(uint64(len(s))) + len(s) }
