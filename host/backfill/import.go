package backfill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/narthex-io/narthex/tsdb/block"
)

// Options say what is imported. Input, Name and OutputDir are required.
type Options struct {
	// Input is the text, Name what mistakes call it.
	Input io.Reader
	Name  string
	// OutputDir is where the blocks appear: a data directory, which may be in use, or any folder. It is made when missing.
	OutputDir string
	// Labels are set on each series. One with an empty value takes the label away.
	Labels map[string]string
	// Span is the range of a block. Blocks of a range that servers make by merging fit beside theirs: see [BlockSpan]. Zero
	// means two hours.
	Span time.Duration
	// RunSamples is the number of samples that are sorted in memory, zero for a million.
	RunSamples int
}

const defaultRunSamples = 1 << 20

// defaultSpan is the range of the blocks that a server cuts.
const defaultSpan = 2 * time.Hour

// BlockSpan returns the largest range that servers make by merging blocks three by three and that is not above the limit,
// at least two hours.
func BlockSpan(limit time.Duration) time.Duration {
	span := defaultSpan
	for range 9 {
		if 3*span > limit {
			break
		}
		span *= 3
	}
	return span
}

// Error is a mistake in the input.
type Error struct {
	// Name and Line are the place; lines count from 1.
	Name string
	Line uint64
	// Problem is what is wrong.
	Problem string
}

// Error names place and problem.
func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.Name, e.Line, e.Problem) }

// Import makes blocks of what it reads and returns them in the order of their times; each holds the samples of one span,
// and spans without samples have none. Samples may come in any order. Until the last moment there is nothing in
// OutputDir but a folder that servers ignore, and remove when they start; on an error it is removed and nothing is left.
// A mistake is an [*Error].
func Import(ctx context.Context, opts Options) (blocks []block.Meta, err error) {
	opts.Span = cmp.Or(opts.Span, defaultSpan)
	opts.RunSamples = cmp.Or(opts.RunSamples, defaultRunSamples)
	if opts.Span <= 0 || opts.Span%time.Millisecond != 0 || opts.RunSamples < 0 {
		return nil, fmt.Errorf("a block cannot span %s", opts.Span)
	}
	if _, serr := os.Stat(opts.OutputDir); errors.Is(serr, fs.ErrNotExist) {
		if err := os.MkdirAll(opts.OutputDir, 0o777); err != nil {
			return nil, fmt.Errorf("make output directory: %w", err)
		}
		defer func() {
			if err != nil {
				_ = os.Remove(opts.OutputDir) // Fails if it is not empty, as it should.
			}
		}()
	}
	stage := filepath.Join(opts.OutputDir, ulid.Make().String()+block.TmpForCreation)
	if err := os.Mkdir(stage, 0o777); err != nil {
		return nil, fmt.Errorf("make folder for blocks to come: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(stage)) }()
	spool, err := os.OpenFile(filepath.Join(stage, "samples"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make file for sorting: %w", err)
	}
	defer func() { err = errors.Join(err, spool.Close()) }()
	runs := newRuns(spool, opts)
	if err := runs.read(ctx, opts); err != nil {
		return nil, err
	}
	return writeBlocks(ctx, opts, runs, stage)
}

// windowOf returns the number of the span in which a time lies.
func windowOf(t, span int64) int64 {
	w := t / span
	if t%span < 0 {
		w--
	}
	return w
}

// bounds are the times of the first and the last sample of a window.
type bounds struct{ min, max int64 }

func noBounds() bounds { return bounds{math.MaxInt64, math.MinInt64} }

func (b bounds) with(t int64) bounds { return bounds{min(b.min, t), max(b.max, t)} }
