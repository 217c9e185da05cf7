package scrape

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/narthex-io/narthex/host/scrape/exposition"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
)

// Limits on a scrape as a whole.
var (
	errSampleLimit = errors.New("sample limit exceeded")
	errBucketLimit = errors.New("histogram bucket limit exceeded")
)

// batchSize is how many entries go to the storage in one call.
const batchSize = 256

// maxAhead is how far a sample may be ahead of its scrape. The storage takes nothing that is much older than its latest
// sample, so one target with a wrong clock would shut out all others.
const maxAhead = 10 * time.Minute

// counts are what a scrape reports about its body.
type counts struct {
	// scraped are the samples exposed, kept those left after relabelling, added those that started a series. limited are
	// those that count for the limit: of kept, all but duplicates.
	scraped, kept, added, limited int
}

// appender takes the samples of one scrape to the storage. It is reused, for one goroutine at a time.
type appender struct {
	// body is what is read; it belongs to the loop.
	body    *body
	scanner exposition.Scanner
	labeler labeler
	batch   []storage.Entry
	// which says what the entries of the batch are.
	which    []source
	outcomes []storage.Outcome
	vanished []storage.SeriesRef
	// behind reads the body again, up to sample passed, for the labels of series that the storage has forgotten.
	behind exposition.Scanner
	passed int
	// exemplars are those of the batch.
	exemplars []sample.Exemplar

	// What follows belongs to one scrape.
	metrics  *metrics
	features Features
	out      storage.Appender
	cache    *cache
	target   *target
	ts       int64
	limits   sampleLimits
	// tooManyBuckets is set when a histogram could not be brought within its limit.
	tooManyBuckets bool
	counts
}

// source says where an entry of a batch comes from.
type source struct {
	// entry is that of the cache, -1 for marks of staleness.
	entry int
	// sample and kept count the samples of the body and those left after relabelling, this one included.
	sample, kept int
}

// maxKeptBody bounds the body memory that an idle appender keeps.
const maxKeptBody = 16 << 20

func newAppender() *appender {
	return &appender{
		body:     &body{},
		batch:    make([]storage.Entry, 0, batchSize),
		which:    make([]source, 0, batchSize),
		outcomes: make([]storage.Outcome, batchSize),
	}
}

// start begins a scrape at ts, in milliseconds.
func (a *appender) start(e *env, out storage.Appender, c *cache, t *target, limits sampleLimits, ts int64) {
	a.metrics, a.features = e.metrics, e.Features
	a.out, a.cache, a.target, a.limits, a.ts = out, c, t, limits, ts
	a.counts, a.tooManyBuckets = counts{}, false
	a.clearBatch()
}

// release lets go of what a scrape was about.
func (a *appender) release() {
	a.clearBatch()
	a.metrics, a.out, a.cache, a.target = nil, nil, nil, nil
	a.counts = counts{}
	clear(a.labeler.pairs[:cap(a.labeler.pairs)])
	clear(a.exemplars[:cap(a.exemplars)])
	if a.body != nil && cap(a.body.bytes) > maxKeptBody {
		a.scanner, a.behind = exposition.Scanner{}, exposition.Scanner{} // They point into the body.
	}
	a.body = nil
}

func (a *appender) clearBatch() {
	clear(a.batch)
	a.batch, a.which, a.exemplars = a.batch[:0], a.which[:0], a.exemplars[:0]
}

// appendBody takes in what the target exposed, then marks what has vanished as stale. After an error the storage's batch
// must be rolled back.
func (a *appender) appendBody(ctx context.Context, meta *metadata) error {
	a.cache.begin()
	a.scanner.Reset(a.body.bytes, a.cache.opts)
	a.passed = 0
	meta.begin()
	if len(a.body.bytes) == 0 {
		return a.finishBody(ctx, meta) // Nothing is a valid answer in each format, as upstream has it.
	}
	for {
		kind, err := a.scanner.Next(a.cache.guess())
		if err != nil {
			return err
		}
		switch kind {
		case exposition.End:
			return a.finishBody(ctx, meta)
		case exposition.Series, exposition.Histogram:
			err = a.appendSample(ctx, meta)
		default:
			meta.set(&a.scanner, kind)
		}
		if err != nil {
			return err
		}
	}
}

func (a *appender) finishBody(ctx context.Context, meta *metadata) error {
	if err := a.flush(ctx); err != nil {
		return err
	}
	meta.end()
	tooMany := a.tooMany()
	if tooMany {
		a.metrics.exceededSampleLimit.Inc()
	}
	if a.tooManyBuckets {
		a.metrics.exceededBucketLimit.Inc()
	}
	switch {
	case tooMany:
		return errSampleLimit
	case a.tooManyBuckets:
		return errBucketLimit
	}
	return a.appendVanished(ctx, false, a.ts)
}

func (a *appender) tooMany() bool { return a.limits.samples > 0 && a.limited > a.limits.samples }

// appendSample takes the sample that the scanner is at.
func (a *appender) appendSample(ctx context.Context, meta *metadata) error {
	a.scraped++
	c := a.cache
	i, ls, err := a.series()
	if err != nil {
		return err
	}
	again := c.touch(i)
	e := &c.entries[i]
	if e.is(flagDropped) {
		return nil
	}
	a.kept++
	ts, explicit := a.scanner.Timestamp()
	explicit = explicit && c.rules.honorTimestamps
	e.set(flagUntracked, explicit)
	if !explicit {
		if ts = a.ts; again {
			a.metrics.duplicate.Inc()
			return nil
		}
	}
	a.limited++
	if explicit && ts > a.ts+maxAhead.Milliseconds() {
		a.metrics.outOfBounds.Inc()
		return nil
	}
	if a.tooMany() {
		return nil // The rest is read to be counted.
	}
	entry := a.next()
	entry.Ref, entry.Labels, entry.T, entry.V = e.ref, ls, ts, a.scanner.Value()
	if entry.Histogram, entry.FloatHistogram = a.scanner.Native(); entry.Histogram != nil || entry.FloatHistogram != nil {
		if entry.V = 0; !a.limits.fit(entry.Histogram, entry.FloatHistogram) {
			a.tooManyBuckets = true
			*entry = storage.Entry{}
			return nil
		}
	}
	if a.features.startTimes() {
		if entry, err = a.appendStart(ctx, entry, i); err != nil {
			return err
		}
	}
	if a.scanner.HasExemplars() {
		if err := a.appendExemplars(entry); err != nil {
			*entry = storage.Entry{}
			a.scraped--
			a.kept--
			return err
		}
	}
	if a.features.Metadata {
		entry.Metadata = meta.of(&a.scanner)
	}
	return a.push(ctx, i)
}

// appendExemplars adds the exemplars of the scanner's sample to its entry, the oldest first.
func (a *appender) appendExemplars(entry *storage.Entry) (err error) {
	first := len(a.exemplars)
	if a.exemplars, err = a.scanner.Exemplars(a.exemplars); err != nil {
		return err
	}
	entry.Exemplars = slices.Clip(a.exemplars[first:])
	for i := range entry.Exemplars {
		if e := &entry.Exemplars[i]; !e.HasT {
			e.T = entry.T
		}
	}
	if len(entry.Exemplars) > 1 {
		slices.SortStableFunc(entry.Exemplars, func(a, b sample.Exemplar) int { return cmp.Compare(a.T, b.T) })
	}
	return nil
}

// series returns the cache entry of the scanner's series, and its labels unless the storage knows them.
func (a *appender) series() (i int, ls labels.Labels, err error) {
	c := a.cache
	if a.scanner.Expected() {
		i = int(c.guessed() - 1)
	} else {
		i = c.find(a.scanner.ID().Hash)
	}
	if i >= 0 && (c.entries[i].ref != 0 || c.entries[i].is(flagDropped)) {
		return i, ls, nil
	}
	ls, keep, err := a.labelsOf(&a.scanner)
	if err != nil {
		return i, ls, err
	}
	if i < 0 {
		i = c.add(a.scanner.ID(), !keep)
	}
	return i, ls, nil
}

// labelsOf parses the labels of a scanner's series and applies the rules.
func (a *appender) labelsOf(s *exposition.Scanner) (ls labels.Labels, keep bool, err error) {
	if a.labeler.pairs, err = s.Labels(a.labeler.pairs[:0]); err != nil {
		a.scraped-- // What cannot be read is no sample.
		return ls, false, err
	}
	ls, keep, err = a.labeler.sample(a.cache.rules, a.target.labels)
	if err != nil {
		if errors.Is(err, errLabelLimit) {
			a.metrics.exceededLabelLimits.Inc()
		}
		return ls, false, fmt.Errorf("%.200s: %w", a.nameOf(s), err)
	}
	return ls, keep, nil
}

// nameOf returns what an error calls a scanner's series: what stands in the body or, of protobuf, the labels.
func (a *appender) nameOf(s *exposition.Scanner) string {
	if a.cache.opts.Format != exposition.Protobuf {
		return string(s.Series())
	}
	pairs, err := s.Labels(nil)
	if err != nil {
		return "a series"
	}
	texts := make([]string, len(pairs))
	for i, p := range pairs {
		texts[i] = p.Name + "=" + strconv.Quote(p.Value)
	}
	return "{" + strings.Join(texts, ", ") + "}"
}

// next returns the empty entry behind the batch. What is written there joins the batch with push, or is to be cleared.
func (a *appender) next() *storage.Entry { return &a.batch[:len(a.batch)+1][len(a.batch)] }

// push makes what was written to the next entry a part of the batch; i is its cache entry, or -1.
func (a *appender) push(ctx context.Context, i int) error {
	a.batch = a.batch[:len(a.batch)+1]
	a.which = append(a.which, source{i, a.scraped, a.kept})
	if len(a.batch) < batchSize {
		return nil
	}
	return a.flush(ctx)
}

// flush hands the batch to the storage and looks at what became of it.
func (a *appender) flush(ctx context.Context) error {
	if len(a.batch) == 0 {
		return nil
	}
	defer a.clearBatch()
	outcomes := a.outcomes[:len(a.batch)]
	clear(outcomes)
	if err := a.out.Append(ctx, a.batch, outcomes); err != nil {
		return fmt.Errorf("append to the storage: %w", err)
	}
	for n := range outcomes {
		if errors.Is(outcomes[n].Err, storage.ErrUnknownSeries) {
			if err := a.again(ctx, n); err != nil {
				return err
			}
		}
		if err := a.outcome(n, &outcomes[n]); err != nil {
			return err
		}
	}
	return nil
}

// again appends an entry whose reference the storage has forgotten, with labels.
func (a *appender) again(ctx context.Context, n int) error {
	from := a.which[n]
	if from.entry < 0 {
		return nil // A series that is forgotten needs no mark of its end.
	}
	if a.passed == 0 {
		a.behind.Reset(a.body.bytes, a.cache.opts)
	}
	for a.passed < from.sample {
		kind, err := a.behind.Next(exposition.ID{})
		if err != nil {
			return err // But it has been read before.
		}
		if kind == exposition.Series || kind == exposition.Histogram {
			a.passed++
		}
	}
	e := &a.batch[n]
	var err error
	if e.Labels, _, err = a.labelsOf(&a.behind); err != nil {
		return err
	}
	e.Ref = 0
	if err := a.out.Append(ctx, a.batch[n:n+1], a.outcomes[n:n+1]); err != nil {
		return fmt.Errorf("append to the storage: %w", err)
	}
	return nil
}

// outcome notes the reference of a series and counts a rejection; one that is not about the sample alone is an error.
func (a *appender) outcome(n int, o *storage.Outcome) error {
	i := a.which[n].entry
	if i >= 0 {
		e := &a.cache.entries[i]
		if e.ref = o.Ref; e.is(flagAdded) && o.Err == nil {
			e.set(flagAdded, false)
			a.added++
		}
	}
	switch {
	case o.ExemplarErr == nil, errors.Is(o.ExemplarErr, storage.ErrDuplicateExemplar):
	case errors.Is(o.ExemplarErr, storage.ErrOutOfOrderExemplar):
		a.metrics.exemplarOutOfOrder.Inc()
	}
	switch {
	case o.Err == nil || i < 0: // A mark that comes too late is not needed.
		return nil
	case errors.Is(o.Err, storage.ErrOutOfOrder):
		a.metrics.outOfOrder.Inc()
	case errors.Is(o.Err, storage.ErrDuplicate):
		a.metrics.duplicate.Inc()
	case errors.Is(o.Err, storage.ErrOutOfBounds), errors.Is(o.Err, storage.ErrTooOld):
		a.metrics.outOfBounds.Inc()
	default:
		a.scraped, a.kept = a.which[n].sample, a.which[n].kept-1 // As if nothing behind it had been read.
		return fmt.Errorf("append to the storage: %w", o.Err)
	}
	return nil
}

// appendVanished marks as stale, at ts, what the last good scrape had and this one lacks; with all, whatever it had.
func (a *appender) appendVanished(ctx context.Context, all bool, ts int64) error {
	a.vanished = a.cache.vanished(all, a.vanished[:0])
	for _, ref := range a.vanished {
		*a.next() = storage.Entry{Ref: ref, T: ts, V: sample.StaleNaN(), InOrder: true}
		if err := a.push(ctx, -1); err != nil {
			return err
		}
	}
	return a.flush(ctx)
}

func millis(t time.Time) int64 { return t.UnixMilli() }
