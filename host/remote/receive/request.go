package receive

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/narthex-io/narthex/host/remote/wire"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
)

type ref = storage.SeriesRef

// request is one request and the memory that it takes, which is used again.
type request struct {
	// compressed is the request as it came, body what it says.
	compressed, body []byte

	// What follows belongs to one request.
	h       *Handler
	message Message
	layout  layout
	out     storage.Appender
	// maxT is the time of the latest sample that is taken, era when the series were asked for.
	maxT int64
	era  uint32
	// symbols are the texts of a request of 2.0.
	symbols []span
	// pending are series that were found in the body, with waiting samples, and are to be stored.
	pending []pendingSeries
	waiting int
	batch   batch

	written                        written
	invalidLabels, withoutMetadata int
	bad                            badness

	// name and pairs are scratch, texts what metadata says, which is often the same.
	name  []byte
	pairs []labels.Label
	texts map[string]string
}

// written counts what was taken.
type written struct{ samples, histograms, exemplars int }

// requests keeps the memory of requests.
type requests struct{ pool sync.Pool }

func (p *requests) get() *request {
	if r, ok := p.pool.Get().(*request); ok {
		return r
	}
	return &request{batch: newBatch()}
}

// put takes back a request, with as much memory as most need.
func (p *requests) put(r *request) {
	if cap(r.compressed) > maxKept {
		r.compressed = nil
	}
	if cap(r.body) > maxKept {
		r.body = nil
	}
	const symbolSize, maxTexts = 8, 4096
	if cap(r.symbols)*symbolSize > maxKept {
		r.symbols = nil
	}
	if len(r.texts) > maxTexts {
		r.texts = nil
	}
	if cap(r.name) > maxKept {
		r.name = nil
	}
	clear(r.pending[:cap(r.pending)])
	clear(r.pairs[:cap(r.pairs)])
	r.batch.clear()
	r.h, r.out, r.bad = nil, nil, badness{}
	p.pool.Put(r)
}

// begin starts with a body that was read.
func (r *request) begin(h *Handler, m Message) {
	now := h.opts.Now()
	r.h, r.message = h, m
	r.maxT, r.era = now.Add(maxAhead).UnixMilli(), eraOf(now)
	r.layout = layout{exemplars: 3, histograms: 4}
	if m == V2 {
		r.layout = layout{exemplars: 4, histograms: 3}
	}
	r.symbols, r.pending, r.waiting = r.symbols[:0], r.pending[:0], 0
	r.written, r.invalidLabels, r.withoutMetadata, r.bad = written{}, 0, 0, badness{}
}

// take hands all that the body holds to the storage. After an error the batch has to be rolled back.
func (r *request) take(ctx context.Context) error {
	seriesField := int32(v1Series)
	if r.message == V2 {
		seriesField = v2Series
		if err := r.readSymbols(); err != nil {
			return malformed(err)
		}
	}
	w := wire.Walker{Rest: r.body}
	for w.Next() {
		switch {
		case w.Num == seriesField:
			if !w.Is(protowire.BytesType) {
				continue
			}
			if err := r.add(ctx, w.Bytes); err != nil {
				return malformed(err)
			}
		case r.message == V1 && w.Num == v1Metadata && w.Is(protowire.BytesType):
			w.Err = checkFamily(w.Bytes)
		}
	}
	if w.Err != nil {
		return malformed(w.Err)
	}
	return malformed(r.flush(ctx))
}

// malformed makes a refusal of an error that says that the body is no message.
func malformed(err error) error {
	if errors.Is(err, wire.ErrMalformed) {
		return &refusal{http.StatusBadRequest, err}
	}
	return err
}

// checkFamily checks the metadata of a family, which 1.0 sends aside from series. As upstream, nobody keeps it.
func checkFamily(message []byte) error {
	w := wire.Walker{Rest: message}
	for w.Next() {
		switch w.Num {
		case 1:
			w.Is(protowire.VarintType)
		case 2, 4, 5:
			w.Is(protowire.BytesType)
		}
	}
	return w.Err
}

func (r *request) readSymbols() error {
	w := wire.Walker{Rest: r.body}
	for w.Next() {
		if w.Num == v2Symbols && w.Is(protowire.BytesType) {
			at := len(r.body) - len(w.Rest) - len(w.Bytes)
			r.symbols = append(r.symbols, span{uint32(at), uint32(len(w.Bytes))})
		}
	}
	return w.Err
}

// add notes a series to be stored.
func (r *request) add(ctx context.Context, message []byte) error {
	r.pending = append(r.pending, pendingSeries{message: message})
	s := &r.pending[len(r.pending)-1]
	if err := s.scan(r.layout, r.message == V2); err != nil {
		return err
	}
	if err := r.nameSeries(s); err != nil {
		bad, ok := errors.AsType[*badRefs](err)
		if !ok {
			return err
		}
		r.bad.add(bad)
		err := r.check(s)
		r.pending = r.pending[:len(r.pending)-1]
		return err
	}
	r.waiting += s.samples + s.histograms + s.exemplars
	if len(r.pending) >= batchSize || r.waiting >= batchSize {
		return r.flush(ctx)
	}
	return nil
}

// nameSeries makes the key of a series.
func (r *request) nameSeries(s *pendingSeries) error {
	if r.message == V1 {
		if s.labels == nil {
			return r.nameScattered(s)
		}
		s.key = r.h.refs.key(s.labels, 1)
		return nil
	}
	r.name = r.name[:0]
	err := r.eachLabelV2(s.message, func(name, value string) {
		r.name = appendText(appendText(r.name, name), value)
	})
	if err != nil {
		if _, ok := errors.AsType[*badRefs](err); ok {
			r.invalidLabels += s.samples + s.histograms
			return &badRefs{"parsing labels for series: " + err.Error()}
		}
		return err
	}
	size := uint32(len(r.symbols))
	for _, ref := range []struct {
		what string
		at   uint32
	}{{"unit_ref", s.meta.unit}, {"help_ref", s.meta.help}} {
		if ref.at >= size {
			return &badRefs{fmt.Sprintf("parsing metadata for series: metadata %s %d outside of symbols table (size %d)", ref.what, ref.at, size)}
		}
	}
	if r.h.opts.TypeAndUnit {
		r.name = appendText(appendText(r.name, string(s.meta.typ)), r.symbol(s.meta.unit))
	}
	s.key = r.h.refs.key(r.name, 2)
	return nil
}

// nameScattered makes the key of a series whose labels are not in one piece.
func (r *request) nameScattered(s *pendingSeries) error {
	r.name = r.name[:0]
	err := r.eachLabel(s.message, func(name, value string) { r.name = appendText(appendText(r.name, name), value) })
	s.key = r.h.refs.key(r.name, 3)
	return err
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// errLabels says that labels name no series.
type errLabels struct{ text string }

func (e *errLabels) Error() string { return e.text }

// Bounds of what a series can be named, beyond which the storage could not hold it.
const maxLabels, maxLabelBytes = math.MaxUint16, 1<<24 - 1

// labelsOf makes the labels of a series.
func (r *request) labelsOf(s *pendingSeries) (labels.Labels, error) {
	r.pairs = r.pairs[:0]
	err := r.eachLabel(s.message, func(name, value string) {
		if len(r.pairs) <= maxLabels { // One more says that they are too many.
			r.pairs = append(r.pairs, labels.Label{Name: name, Value: value})
		}
	})
	if err != nil {
		return labels.Labels{}, err
	}
	if r.message == V2 && r.h.opts.TypeAndUnit {
		r.addTypeAndUnit(s)
	}
	slices.SortFunc(r.pairs, func(a, b labels.Label) int { return strings.Compare(a.Name, b.Name) })
	if !validLabels(r.pairs) {
		return labels.Labels{}, &errLabels{"invalid metric name or labels, got " + describe(r.pairs)}
	}
	for i := 1; i < len(r.pairs); i++ {
		if r.pairs[i].Name == r.pairs[i-1].Name {
			return labels.Labels{}, &errLabels{fmt.Sprintf("invalid labels for series, labels %s, duplicated label %s", describe(r.pairs), r.pairs[i].Name)}
		}
	}
	var b labels.ScratchBuilder
	for _, p := range r.pairs {
		b.Add(p.Name, p.Value)
	}
	return b.Labels(), nil
}

func (r *request) addTypeAndUnit(s *pendingSeries) {
	typ, unit := s.meta.typ, r.symbol(s.meta.unit)
	known := typ != "" && typ != sample.TypeUnknown
	if !known && unit == "" {
		return
	}
	r.pairs = slices.DeleteFunc(r.pairs, func(l labels.Label) bool { return l.Name == labels.TypeLabel || l.Name == labels.UnitLabel })
	if known {
		r.pairs = append(r.pairs, labels.Label{Name: labels.TypeLabel, Value: string(typ)})
	}
	if unit != "" {
		r.pairs = append(r.pairs, labels.Label{Name: labels.UnitLabel, Value: unit})
	}
}

// validLabels reports whether sorted pairs, duplicates aside, name a series.
func validLabels(pairs []labels.Label) bool {
	named := false
	for _, p := range pairs {
		if p.Name == "" || len(p.Name) > maxLabelBytes || len(p.Value) > maxLabelBytes || !utf8.ValidString(p.Name) || !utf8.ValidString(p.Value) {
			return false
		}
		if p.Name == labels.MetricName {
			if p.Value == "" {
				return false
			}
			named = true
		}
	}
	return named && len(pairs) <= maxLabels
}

// describe formats pairs that may be no labels, shortened.
func describe(pairs []labels.Label) string {
	const longest = 1 << 10
	b := []byte{'{'}
	for i, p := range pairs {
		if i > 0 {
			b = append(b, ", "...)
		}
		if len(b) > longest {
			b = append(b, "…"...)
			break
		}
		b = append(b, p.Name[:min(len(p.Name), longest)]...)
		b = append(b, '=')
		b = strconv.AppendQuote(b, p.Value[:min(len(p.Value), longest)])
	}
	return strings.ToValidUTF8(string(append(b, '}')), "\uFFFD")
}

// badness collects what is wrong with parts of a request, of which the rest is taken.
type badness struct {
	texts []string
	more  int
}

// maxBad is how many mistakes an answer names.
const maxBad = 100

func (b *badness) add(err error) {
	if len(b.texts) >= maxBad {
		b.more++
		return
	}
	b.texts = append(b.texts, err.Error())
}

func (b *badness) err() error {
	if len(b.texts) == 0 {
		return nil
	}
	text := strings.Join(b.texts, "\n")
	if b.more > 0 {
		text += fmt.Sprintf("\nand %d more", b.more)
	}
	return &refusal{http.StatusBadRequest, errors.New(text)}
}
