package history

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/narthex-io/narthex/host/rules"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/merge"
	"github.com/narthex-io/narthex/tsdb/vfs"
)

// BackfillOptions say what is backfilled. Source, Open and OutputDir are required.
type BackfillOptions struct {
	Source Source
	// Open makes an empty storage, whose samples of a window of time become a block.
	Open func() (Window, error)
	// OutputDir is where the blocks appear. It is made when missing.
	OutputDir string
	// Config has the rules; those that alert are left out.
	Config     rules.Config
	Start, End time.Time
	// Span is the range of a block; zero means two hours.
	Span time.Duration
	// Done is called with each window that is behind; nil for nobody.
	Done func(BackfillWindow)
}

// Window is the storage of one window of time.
type Window interface {
	rules.Storage
	// Snapshot writes all samples as a block into a folder that does not exist.
	Snapshot(ctx context.Context, dir string, withHead bool) error
	Close() error
}

// BackfillWindow is a window of time that is behind.
type BackfillWindow struct {
	Start, End time.Time
	// Block is the name of its block; zero if there are no samples.
	Block   ulid.ULID
	Samples uint64
	// Before says that the block had been there already, from an earlier run.
	Before bool
}

// defaultSpan is the range of blocks that a server cuts, too, so that they fit between its own.
const defaultSpan = 2 * time.Hour

// Backfill evaluates recording rules over [Start, End] and writes blocks of what they would have recorded, at the moments
// of their groups' schedules. A run that was ended goes on where it was when it is repeated: the name of a block says
// which rules and which window it is of, and one that is there is not made again. A rule that
// cannot be evaluated ends the run: no block lacks a rule.
func Backfill(ctx context.Context, opts BackfillOptions) error {
	if opts.Span == 0 {
		opts.Span = defaultSpan
	}
	groups, err := rules.NewGroups(
		rules.Options{Log: slog.New(slog.DiscardHandler), Storage: nowhere{}, Engine: &ahead{}}, opts.Config)
	if err != nil {
		return err
	}
	b := &backfill{BackfillOptions: opts, rules: rules.Recordings(groups)}
	if len(b.rules) == 0 {
		return errors.New("the rule files have no recording rules")
	}
	if err := os.MkdirAll(opts.OutputDir, 0o777); err != nil {
		return fmt.Errorf("make output directory: %w", err)
	}
	defer b.close()
	span := opts.Span.Milliseconds()
	for from := opts.Start.UnixMilli() / span * span; from <= opts.End.UnixMilli(); from += span {
		if err := ctx.Err(); err != nil {
			return err
		}
		start, end := time.UnixMilli(from).UTC(), time.UnixMilli(from+span-1).UTC()
		if start.Before(opts.Start) {
			start = opts.Start
		}
		if end.After(opts.End) {
			end = opts.End
		}
		if err := b.window(ctx, start, end); err != nil {
			return fmt.Errorf("window from %s: %w", start.Format(time.RFC3339), err)
		}
	}
	return nil
}

type backfill struct {
	BackfillOptions
	rules []rules.Recording
	// blocks are those made so far, which derived rules look back into.
	blocks blocks
}

func (b *backfill) close() {
	for _, made := range b.blocks {
		_ = made.Close() // Nothing was written through it.
	}
}

// name returns the name of the block of a window: another one if anything about the rules is different.
func (b *backfill) name(start, end time.Time) ulid.ULID {
	sum := sha256.New()
	for _, r := range b.rules {
		fmt.Fprintf(sum, "%q %q %q %d %v\n", r.Group.Name(), r.Query(), r.Labels(labels.Labels{}).String(), r.Group.Interval(), r.Group.File())
	}
	fmt.Fprintf(sum, "%d %d", start.UnixMilli(), end.UnixMilli())
	var id ulid.ULID
	if err := id.SetTime(uint64(max(start.UnixMilli(), 0))); err != nil {
		return ulid.ULID{}
	}
	if err := id.SetEntropy(sum.Sum(nil)[:10]); err != nil {
		return ulid.ULID{}
	}
	return id
}

// window makes the block of one window.
func (b *backfill) window(ctx context.Context, start, end time.Time) (err error) {
	done := BackfillWindow{Start: start, End: end, Block: b.name(start, end)}
	dir := filepath.Join(b.OutputDir, done.Block.String())
	if meta, err := block.ReadMeta(dir); err == nil {
		done.Before, done.Samples = true, meta.Stats.NumSamples
		return b.finish(dir, done)
	}
	store, err := b.Open()
	if err != nil {
		return fmt.Errorf("open storage: %w", err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	stored := 0
	for _, r := range b.rules {
		n, err := b.evaluate(ctx, store, r, start, end)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("rule %s of group %s: %w", r.Name(), r.Group.Name(), err)
		}
		stored += n
	}
	if stored == 0 {
		done.Block = ulid.ULID{}
		if b.Done != nil {
			b.Done(done)
		}
		return nil
	}
	if done.Samples, err = b.publish(ctx, store, dir, done.Block); err != nil {
		return err
	}
	return b.finish(dir, done)
}

// finish opens the block of a window for the windows that follow.
func (b *backfill) finish(dir string, done BackfillWindow) error {
	made, err := block.Open(dir)
	if err != nil {
		return err
	}
	b.blocks = append(b.blocks, made)
	if b.Done != nil {
		b.Done(done)
	}
	return nil
}

// publish makes a block of a storage. It appears when it is complete.
func (b *backfill) publish(ctx context.Context, store Window, dir string, name ulid.ULID) (samples uint64, err error) {
	tmp := dir + ".tmp-for-creation" // A folder that servers remove when they find it.
	if err := os.RemoveAll(tmp); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	if err := store.Snapshot(ctx, filepath.Join(tmp, "snapshot"), true); err != nil {
		return 0, err
	}
	entries, err := os.ReadDir(filepath.Join(tmp, "snapshot"))
	if err != nil {
		return 0, err
	}
	at := slices.IndexFunc(entries, func(e fs.DirEntry) bool { _, err := ulid.ParseStrict(e.Name()); return err == nil })
	if at < 0 {
		return 0, errors.New("the samples made no block")
	}
	made := filepath.Join(tmp, "snapshot", entries[at].Name())
	meta, err := block.ReadMeta(made)
	if err != nil {
		return 0, err
	}
	meta.ULID, meta.Compaction.Sources = name, []ulid.ULID{name}
	if err := block.WriteMeta(vfs.OS{}, made, meta); err != nil {
		return 0, err
	}
	return meta.Stats.NumSamples, vfs.OS{}.Rename(made, dir)
}

// evaluate stores what a rule yields in a window, and returns the number of samples.
func (b *backfill) evaluate(ctx context.Context, store Window, r rules.Recording, start, end time.Time) (int, error) {
	var overlay storage.Queryable
	if r.Derived {
		overlay = both{b.blocks, store}
	}
	first := r.Group.Next(start)
	if first.After(end) {
		return 0, nil
	}
	m, err := b.query(ctx, overlay, r, first, end)
	if err != nil {
		return 0, err
	}
	var entries []storage.Entry
	seen := map[string]bool{}
	for _, s := range m {
		ls := r.Labels(s.Labels)
		key := string(ls.AppendKey(nil))
		if seen[key] {
			return 0, errors.New("vector contains metrics with the same labelset after applying rule labels")
		}
		seen[key] = true
		for _, p := range s.Points.All() {
			e := storage.Entry{Labels: ls, T: p.T, V: p.F}
			if p.H != nil {
				e.FloatHistogram = p.H.Copy()
			}
			entries = append(entries, e)
		}
	}
	return len(entries), appendAll(ctx, store, entries)
}

// query evaluates a rule for all of its moments in a window.
func (b *backfill) query(ctx context.Context, overlay storage.Queryable, r rules.Recording, first, end time.Time) (promql.Matrix, error) {
	if !r.Pinned {
		return b.Source.Range(ctx, overlay, r.Query(), first, end, r.Group.Interval())
	}
	var m promql.Matrix
	found := map[string]int{}
	for at := first; !at.After(end); at = at.Add(r.Group.Interval()) {
		v, err := b.Source.Instant(ctx, overlay, r.Query(), at)
		if err != nil {
			return nil, err
		}
		for _, s := range v {
			key := string(s.Labels.AppendKey(nil))
			i, ok := found[key]
			if !ok {
				i = len(m)
				found[key] = i
				m = append(m, promql.Series{Labels: s.Labels})
			}
			m[i].Points.Append(promql.Point{T: at.UnixMilli(), F: s.F, H: s.H})
		}
	}
	return m, nil
}

// batchSize is how many samples are stored in one go.
const batchSize = 5000

func appendAll(ctx context.Context, store storage.Appendable, entries []storage.Entry) error {
	for part := range slices.Chunk(entries, batchSize) {
		app := store.Appender()
		outcomes := make([]storage.Outcome, len(part))
		if err := app.Append(ctx, part, outcomes); err != nil {
			return errors.Join(err, app.Rollback())
		}
		for i, o := range outcomes {
			if o.Err != nil {
				return errors.Join(fmt.Errorf("store %s at %d: %w", part[i].Labels, part[i].T, o.Err), app.Rollback())
			}
		}
		if err := app.Commit(ctx); err != nil {
			return err
		}
	}
	return nil
}

// blocks are blocks as a storage.
type blocks []*block.Block

// Querier opens a snapshot of the blocks that have samples in the range.
func (bs blocks) Querier(mint, maxt int64) (storage.Querier, error) {
	var qs []storage.Querier
	for _, b := range bs {
		meta := b.Meta()
		if meta.MinTime > maxt || meta.MaxTime <= mint {
			continue
		}
		q, err := b.Querier(mint, maxt)
		if err != nil {
			for _, opened := range qs {
				err = errors.Join(err, opened.Close())
			}
			return nil, err
		}
		qs = append(qs, q)
	}
	if len(qs) == 0 {
		return emptyQuerier{}, nil
	}
	return merge.Queriers(qs...), nil
}

// nowhere is a storage for groups that are not evaluated.
type nowhere struct{ Empty }

// Appender returns nil: nobody asks.
func (nowhere) Appender() storage.Appender { return nil }
