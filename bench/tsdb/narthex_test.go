package tsdb

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb"
	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/compact"
	"github.com/narthex-io/narthex/tsdb/index"
)

// ourEngine is ours.
type ourEngine struct {
	ourReader
	db       *tsdb.DB
	refs     map[int][]storage.SeriesRef
	entries  []storage.Entry
	outcomes []storage.Outcome
}

func openOurs(ctx context.Context, dir string) (engine, error) {
	db, err := tsdb.Open(ctx, tsdb.Options{Dir: dir, Retention: tsdb.Retention{Time: 15 * 24 * time.Hour}})
	if err != nil {
		return nil, err
	}
	e := &ourEngine{db: db, refs: map[int][]storage.SeriesRef{}}
	e.ourReader = ourReader{open: db.Querier, shut: db.Close}
	return e, nil
}

func (e *ourEngine) append(ctx context.Context, t *target) error {
	app := e.db.Appender()
	refs, known := e.refs[t.number]
	if !known {
		refs = make([]storage.SeriesRef, len(t.series))
		e.refs[t.number] = refs
	}
	e.entries = slices.Grow(e.entries[:0], len(refs))[:len(refs)]
	e.outcomes = slices.Grow(e.outcomes[:0], len(refs))[:len(refs)]
	var kv []string
	for i := range refs {
		entry := storage.Entry{Ref: refs[i], T: t.time, V: t.values[i]}
		if !known {
			kv = t.labelsOf(&t.series[i], kv)
			entry.Labels = labels.FromStrings(kv...)
		}
		e.entries[i] = entry
	}
	if err := app.Append(ctx, e.entries, e.outcomes); err != nil {
		return err
	}
	for i := range e.outcomes {
		if e.outcomes[i].Err != nil {
			return fmt.Errorf("append: %w", e.outcomes[i].Err)
		}
		refs[i] = e.outcomes[i].Ref
	}
	return app.Commit(ctx)
}

// compact runs the background until it has cut what is due.
func (e *ourEngine) compact(ctx context.Context, want int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error)
	go func() { done <- e.db.Run(ctx) }()
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(time.Millisecond) {
		blocks := e.db.Blocks()
		if len(blocks) == want && e.db.HeadStats().MinTime >= blocks[want-1].MaxTime {
			break
		}
		if time.Now().After(deadline) {
			cancel()
			return errors.Join(fmt.Errorf("there are %d blocks, not %d", len(blocks), want), <-done)
		}
	}
	cancel()
	return <-done
}

func (e *ourEngine) snapshot(ctx context.Context, dir string) error {
	return e.db.Snapshot(ctx, dir, true)
}

func mergeOurs(ctx context.Context, dest string, dirs []string) error {
	var blocks []*block.Block
	var err error
	for _, dir := range dirs {
		b, openErr := block.Open(dir)
		if openErr != nil {
			err = errors.Join(err, openErr)
			continue
		}
		blocks = append(blocks, b)
	}
	if err == nil {
		_, err = compact.Merge(ctx, compact.Options{Dir: dest}, blocks...)
	}
	for _, b := range blocks {
		err = errors.Join(err, b.Close())
	}
	return err
}

// ourReader asks queriers.
type ourReader struct {
	open func(mint, maxt int64) (storage.Querier, error)
	shut func() error
}

type ourBlock struct {
	ourReader
	block *block.Block
}

func openOurBlock(dir string) (blockReader, error) {
	b, err := block.Open(dir)
	if err != nil {
		return nil, err
	}
	return &ourBlock{ourReader{open: b.Querier, shut: b.Close}, b}, nil
}

func (b *ourBlock) postings(ctx context.Context, ms ...matcher) (int, error) {
	ids, err := index.PostingsForMatchers(ctx, b.block.Index(), ourMatchers(ms)...)
	return len(ids), err
}

func (r *ourReader) close() error { return r.shut() }

func ourMatchers(ms []matcher) []*labels.Matcher {
	all := make([]*labels.Matcher, len(ms))
	for i, m := range ms {
		op := map[string]labels.MatchType{"=": labels.MatchEqual, "!=": labels.MatchNotEqual, "=~": labels.MatchRegexp, "!~": labels.MatchNotRegexp}[m.op]
		all[i] = labels.MustNewMatcher(op, m.name, m.value)
	}
	return all
}

func (r *ourReader) with(mint, maxt int64, f func(storage.Querier) error) error {
	q, err := r.open(mint, maxt)
	if err != nil {
		return err
	}
	return errors.Join(f(q), q.Close())
}

func (r *ourReader) count(ctx context.Context, ms ...matcher) (n int, err error) {
	err = r.with(math.MinInt64, math.MaxInt64, func(q storage.Querier) error {
		set := q.Select(ctx, false, &storage.SelectHints{Start: math.MinInt64, End: math.MaxInt64, SeriesOnly: true}, ourMatchers(ms)...)
		for set.Next() {
			n++
		}
		return set.Err()
	})
	return n, err
}

func (r *ourReader) read(ctx context.Context, mint, maxt int64, ms ...matcher) (n int, sum uint64, err error) {
	err = r.with(mint, maxt, func(q storage.Querier) error {
		set := q.Select(ctx, false, &storage.SelectHints{Start: mint, End: maxt}, ourMatchers(ms)...)
		var cols storage.Columns
		var reader storage.ColumnReader
		for set.Next() {
			reader = set.At().Samples(reader)
			for cols.Reset(); reader.Read(&cols); cols.Reset() {
				n += cols.Len()
				for _, v := range cols.F {
					sum ^= math.Float64bits(v)
				}
			}
			if reader.Err() != nil {
				return reader.Err()
			}
		}
		return set.Err()
	})
	return n, sum, err
}

func (r *ourReader) labelNames(ctx context.Context, ms ...matcher) (names []string, err error) {
	err = r.with(math.MinInt64, math.MaxInt64, func(q storage.Querier) error {
		names, _, err = q.LabelNames(ctx, storage.LabelHints{}, ourMatchers(ms)...)
		return err
	})
	return names, err
}

func (r *ourReader) labelValues(ctx context.Context, name string, ms ...matcher) (values []string, err error) {
	err = r.with(math.MinInt64, math.MaxInt64, func(q storage.Querier) error {
		values, _, err = q.LabelValues(ctx, name, storage.LabelHints{}, ourMatchers(ms)...)
		return err
	})
	return values, err
}
