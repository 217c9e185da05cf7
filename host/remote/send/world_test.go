package send

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/narthex-io/narthex/internal/strictyaml"
	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb"
)

// parse reads a list of entries of remote_write.
func parse(text string) ([]*Config, error) {
	var file struct {
		RemoteWrite []*Config `yaml:"remote_write"`
	}
	doc, err := strictyaml.Parse([]byte(text))
	if err != nil {
		return nil, err
	}
	if err := doc.Decode(&file); err != nil {
		return nil, err
	}
	return file.RemoteWrite, CompleteAll(file.RemoteWrite, "", false)
}

func configs(tb testing.TB, text string) []*Config {
	tb.Helper()
	cfgs, err := parse("remote_write: " + text)
	if err != nil {
		tb.Fatal(err)
	}
	return cfgs
}

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// receiver takes requests and keeps what is in them.
type receiver struct {
	// down says that nobody answers.
	down atomic.Bool
	// answer, if not nil, says what becomes of a request; zero takes it.
	answer func(r *http.Request) (status int, header http.Header, text string, err error)

	mu       sync.Mutex
	requests int
	// got are the samples of each series in the order in which they came, metadata the families.
	got      map[string][]string
	metadata []string
	headers  []http.Header
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	data, err := io.ReadAll(req.Body)
	if err = errors.Join(err, req.Body.Close()); err != nil {
		return nil, err
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	if r.down.Load() {
		return nil, errors.New("connection refused")
	}
	w := httptest.NewRecorder()
	if r.answer != nil {
		status, header, text, err := r.answer(req)
		if err != nil {
			return nil, err
		}
		if status != 0 {
			maps.Copy(w.Header(), header)
			w.WriteHeader(status)
			_, _ = w.WriteString(text)
			return finish(w, req), nil
		}
	}
	message, err := s2.Decode(nil, data)
	if err != nil {
		return nil, err
	}
	v2 := strings.Contains(req.Header.Get("Content-Type"), string(V2))
	d := decoded{v2: v2}
	if err := d.decode(message); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	r.headers = append(r.headers, req.Header.Clone())
	if r.got == nil {
		r.got = map[string][]string{}
	}
	for _, s := range d.series {
		r.got[s.name] = append(r.got[s.name], s.samples...)
	}
	r.metadata = append(r.metadata, d.metadata...)
	if v2 {
		for k, name := range []string{"Samples", "Histograms", "Exemplars"} {
			w.Header().Set("X-Prometheus-Remote-Write-"+name+"-Written", fmt.Sprint(d.counts[k]))
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return finish(w, req), nil
}

func finish(w *httptest.ResponseRecorder, req *http.Request) *http.Response {
	resp := w.Result()
	resp.Request = req
	return resp
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

func (r *receiver) all() map[string][]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.got)
}

// decoded is a request, read field by field, independent of how it was written.
type decoded struct {
	v2       bool
	symbols  []string
	series   []decodedSeries
	metadata []string
	counts   [3]int
}

type decodedSeries struct {
	name    string
	samples []string
}

// each calls f with the fields of a message.
func each(message []byte, f func(num protowire.Number, typ protowire.Type, value uint64, text []byte) error) error {
	for len(message) > 0 {
		num, typ, n := protowire.ConsumeTag(message)
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		var value uint64
		var text []byte
		switch typ {
		case protowire.VarintType:
			value, n = protowire.ConsumeVarint(message)
		case protowire.Fixed64Type:
			value, n = protowire.ConsumeFixed64(message)
		case protowire.BytesType:
			text, n = protowire.ConsumeBytes(message)
		default:
			return fmt.Errorf("field %d has type %d", num, typ)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		if err := f(num, typ, value, text); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoded) decode(message []byte) error {
	seriesField := protowire.Number(1)
	if d.v2 {
		seriesField = 5
	}
	return each(message, func(num protowire.Number, _ protowire.Type, _ uint64, text []byte) error {
		switch {
		case num == seriesField:
			return d.oneSeries(text)
		case d.v2 && num == 4:
			d.symbols = append(d.symbols, string(text))
		case !d.v2 && num == 3:
			return d.family(text)
		default:
			return fmt.Errorf("field %d of a request", num)
		}
		return nil
	})
}

func (d *decoded) family(message []byte) error {
	var typ uint64
	texts := map[protowire.Number]string{}
	err := each(message, func(num protowire.Number, _ protowire.Type, value uint64, text []byte) error {
		if num == 1 {
			typ = value
		}
		texts[num] = string(text)
		return nil
	})
	d.metadata = append(d.metadata, fmt.Sprintf("%s %d %q %q", texts[2], typ, texts[4], texts[5]))
	return err
}

func (d *decoded) oneSeries(message []byte) error {
	var pairs []string
	var out decodedSeries
	histogramField, exemplarField := protowire.Number(4), protowire.Number(3)
	if d.v2 {
		histogramField, exemplarField = 3, 4
	}
	about := ""
	err := each(message, func(num protowire.Number, _ protowire.Type, _ uint64, text []byte) (err error) {
		switch num {
		case 1:
			pairs, err = d.pairs(pairs, text)
		case 2:
			d.counts[0]++
			var s string
			s, err = d.point(text, 1)
			out.samples = append(out.samples, s)
		case histogramField:
			d.counts[1]++
			var s string
			s, err = d.native(text)
			out.samples = append(out.samples, s)
		case exemplarField:
			d.counts[2]++
			var s string
			s, err = d.exemplar(text)
			out.samples = append(out.samples, s)
		case 5:
			about, err = d.about(text)
		default:
			return fmt.Errorf("field %d of a series", num)
		}
		return err
	})
	out.name = labels.FromStrings(pairs...).String() + about
	d.series = append(d.series, out)
	return err
}

func (d *decoded) about(message []byte) (string, error) {
	refs := map[protowire.Number]uint64{}
	err := each(message, func(num protowire.Number, _ protowire.Type, value uint64, _ []byte) error {
		refs[num] = value
		return nil
	})
	return fmt.Sprintf(" type %d help %q unit %q", refs[1], d.symbols[refs[3]], d.symbols[refs[4]]), err
}

// pairs appends names and values: a label of 1.0, or references to all of them.
func (d *decoded) pairs(dst []string, message []byte) ([]string, error) {
	if !d.v2 {
		err := each(message, func(_ protowire.Number, _ protowire.Type, _ uint64, text []byte) error {
			dst = append(dst, string(text))
			return nil
		})
		return dst, err
	}
	for len(message) > 0 {
		ref, n := protowire.ConsumeVarint(message)
		if n < 0 || ref >= uint64(len(d.symbols)) {
			return dst, fmt.Errorf("reference %d of %d symbols", ref, len(d.symbols))
		}
		dst = append(dst, d.symbols[ref])
		message = message[n:]
	}
	return dst, nil
}

func (d *decoded) point(message []byte, first protowire.Number) (string, error) {
	var v float64
	var t, st int64
	err := each(message, func(num protowire.Number, _ protowire.Type, value uint64, _ []byte) error {
		switch num {
		case first:
			v = math.Float64frombits(value)
		case first + 1:
			t = int64(value)
		case first + 2:
			st = int64(value)
		}
		return nil
	})
	if st != 0 {
		return fmt.Sprintf("%d from %d: %x", t, st, math.Float64bits(v)), err
	}
	return fmt.Sprintf("%d: %x", t, math.Float64bits(v)), err
}

func (d *decoded) exemplar(message []byte) (string, error) {
	var pairs []string
	var rest []byte
	err := each(message, func(num protowire.Number, typ protowire.Type, value uint64, text []byte) (err error) {
		if num == 1 {
			pairs, err = d.pairs(pairs, text)
			return err
		}
		rest = protowire.AppendTag(rest, num, typ)
		if typ == protowire.VarintType {
			rest = protowire.AppendVarint(rest, value)
		} else {
			rest = protowire.AppendFixed64(rest, value)
		}
		return nil
	})
	point, err2 := d.point(rest, 2)
	return "exemplar " + labels.FromStrings(pairs...).String() + " " + point, errors.Join(err, err2)
}

// native shows the time and the count of a histogram: other tests look at the rest of it.
func (d *decoded) native(message []byte) (string, error) {
	var t, count uint64
	err := each(message, func(num protowire.Number, _ protowire.Type, value uint64, _ []byte) error {
		switch num {
		case 15:
			t = value
		case 1, 2:
			count = value
		}
		return nil
	})
	return fmt.Sprintf("%d: histogram %x", t, count), err
}

// world is a storage with a manager that follows it.
type world struct {
	t   *testing.T
	db  *tsdb.DB
	m   *Manager
	reg *prometheus.Registry
	to  *receiver
	log lines
	// committed are the samples of each series in their order.
	committed map[string][]string
	refs      map[string]storage.SeriesRef
	stop      func()
}

// newWorld opens a storage and follows it, with the clock of the test's bubble.
func newWorld(t *testing.T, text string, external labels.Labels, change func(*tsdb.Options, *Options)) *world {
	t.Helper()
	w := &world{t: t, reg: prometheus.NewRegistry(), to: &receiver{}, committed: map[string][]string{}, refs: map[string]storage.SeriesRef{}}
	opts := Options{
		Log: slog.New(slog.NewTextHandler(&w.log, nil)), Registerer: w.reg, UserAgent: "Narthex/test",
		NewClient: func(*Config) (*http.Client, error) { return &http.Client{Transport: w.to}, nil },
	}
	dbOpts := tsdb.Options{Dir: t.TempDir(), WALSegmentSize: 1 << 20, MaxExemplars: 1000}
	if change != nil {
		change(&dbOpts, &opts)
	}
	var err error
	if w.m, err = New(opts); err != nil {
		t.Fatal(err)
	}
	dbOpts.OnCommit = func(c tsdb.Committed) { w.m.Committed(Commit(c)) }
	if w.db, err = tsdb.Open(t.Context(), dbOpts); err != nil {
		t.Fatal(err)
	}
	w.apply(text, external)
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { _ = w.m.Run(ctx, w.db) })
	dbCtx, dbCancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		_ = w.db.Run(dbCtx)
	}()
	w.stop = sync.OnceFunc(func() {
		cancel()
		all.Wait()
		dbCancel()
		<-ran
		if err := w.db.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(w.stop)
	return w
}

func (w *world) apply(text string, external labels.Labels) {
	w.t.Helper()
	c, err := w.m.Prepare(configs(w.t, text), external)
	if err != nil {
		w.t.Fatal(err)
	}
	c.Apply()
}

// entry is a sample for commit: of a float, unless there is a histogram.
type entry struct {
	ls labels.Labels
	t  int64
	v  float64
	h  *histogram.Histogram
}

// commit stores a batch and notes what of it was taken.
func (w *world) commit(entries ...entry) {
	w.t.Helper()
	app := w.db.Appender()
	batch := make([]storage.Entry, len(entries))
	for i, e := range entries {
		batch[i] = storage.Entry{Ref: w.refs[e.ls.String()], Labels: e.ls, T: e.t, V: e.v, Histogram: e.h}
	}
	outcomes := make([]storage.Outcome, len(batch))
	if err := app.Append(w.t.Context(), batch, outcomes); err != nil {
		w.t.Fatal(err)
	}
	if err := app.Commit(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	for i, o := range outcomes {
		e := &entries[i]
		if o.Err != nil {
			w.t.Fatalf("%s at %d: %v", e.ls, e.t, o.Err)
		}
		name := e.ls.String()
		w.refs[name] = o.Ref
		text := fmt.Sprintf("%d: %x", e.t, math.Float64bits(e.v))
		if e.h != nil {
			text = fmt.Sprintf("%d: histogram %x", e.t, e.h.Count)
		}
		w.committed[name] = append(w.committed[name], text)
	}
}

// checkAll compares what was received with what was committed.
func (w *world) checkAll() {
	w.t.Helper()
	got := w.to.all()
	for name, want := range w.committed {
		if !slices.Equal(got[name], want) {
			w.t.Errorf("%s: %d samples received, %d committed%s", name, len(got[name]), len(want), difference(got[name], want))
		}
	}
	for name := range got {
		if w.committed[name] == nil {
			w.t.Errorf("%s was received and never committed", name)
		}
	}
	if w.t.Failed() {
		for line := range strings.Lines(w.log.String()) {
			if !strings.Contains(line, "will be sent again") && !strings.Contains(line, "number of shards") {
				w.t.Log(strings.TrimSpace(line))
			}
		}
	}
}

func difference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("; number %d is %s, want %s", i, got[i], want[i])
		}
	}
	return ""
}

// metric returns the value of a metric with the given labels, name=value.
func (w *world) metric(name string, pairs ...string) float64 {
	w.t.Helper()
	families, err := w.reg.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			has := map[string]bool{}
			for _, l := range m.GetLabel() {
				has[l.GetName()+"="+l.GetValue()] = true
			}
			if slices.ContainsFunc(pairs, func(pair string) bool { return !has[pair] }) {
				continue
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

func ls(pairs ...string) labels.Labels { return labels.FromStrings(pairs...) }

func millis() int64 { return time.Now().UnixMilli() }
