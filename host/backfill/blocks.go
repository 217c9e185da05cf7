package backfill

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"

	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/chunk"
	"github.com/narthex-io/narthex/tsdb/vfs"
)

// writeBlocks makes the blocks below the stage and then moves all of them to where they belong.
func writeBlocks(ctx context.Context, opts Options, r *runs, stage string) ([]block.Meta, error) {
	m, err := r.merge()
	if err != nil {
		return nil, err
	}
	var metas []block.Meta
	for {
		window, ok := m.peek()
		if !ok {
			break
		}
		meta, err := r.writeBlock(ctx, m, window, stage)
		if err != nil {
			return nil, err
		}
		metas = append(metas, meta)
	}
	return metas, publish(metas, stage, opts.OutputDir)
}

// publish moves blocks; if one can't be moved, none stays.
func publish(metas []block.Meta, stage, dir string) error {
	fs := vfs.OS{}
	for i, m := range metas {
		err := fs.Rename(filepath.Join(stage, m.ULID.String()), filepath.Join(dir, m.ULID.String()))
		if err == nil {
			continue
		}
		err = fmt.Errorf("publish block %s: %w", m.ULID, err)
		for _, done := range metas[:i+1] {
			err = errors.Join(err, fs.RemoveAll(filepath.Join(dir, done.ULID.String())))
		}
		return err
	}
	return nil
}

// writeBlock makes the block of a window, whose groups come next.
func (r *runs) writeBlock(ctx context.Context, m *merged, window int64, stage string) (meta block.Meta, err error) {
	b := r.windows[window]
	w, err := block.NewWriter(block.WriterOptions{Dir: stage, MinTime: b.min, MaxTime: b.max + 1})
	if err != nil {
		return meta, err
	}
	defer func() { err = errors.Join(err, w.Abort()) }()
	var e encoder
	for next, ok := m.peek(); ok && next == window; next, ok = m.peek() {
		if err := ctx.Err(); err != nil {
			return meta, err
		}
		if !m.next() {
			return meta, m.err
		}
		rows, err := r.unique(m.group)
		if err != nil {
			return meta, err
		}
		if err := w.Add(m.group.labels, e.encode(rows)); err != nil {
			return meta, err
		}
	}
	return w.Finish()
}

// unique leaves out samples that are there twice, and refuses those that contradict each other.
func (r *runs) unique(g group) ([]row, error) {
	out := g.rows[:1]
	for _, s := range g.rows[1:] {
		switch last := out[len(out)-1]; {
		case s.t != last.t:
			out = append(out, s)
		case math.Float64bits(s.v) != math.Float64bits(last.v):
			return nil, r.mistake(s.line, fmt.Sprintf("%s at %s is %v, but %v in line %d", g.labels, seconds(s.t), s.v, last.v, last.line))
		}
	}
	return out, nil
}

func seconds(millis int64) string { return fmt.Sprintf("%.3f", float64(millis)/1000) }

// samplesPerChunk is the number of samples in a chunk as long as these take no more than chunk.MaxBytes: as much as the
// server's own blocks have after they were merged.
const samplesPerChunk = 2 * chunk.TargetSamples

// encoder makes chunks, with memory for those of one series.
type encoder struct {
	packer chunk.XORPacker
	ts     []int64
	vs     []float64
	chunks []block.Chunk
	// bufs hold the data of the chunks.
	bufs [][]byte
}

// encode returns the samples as chunks, which are good until the next call.
func (e *encoder) encode(rows []row) []block.Chunk {
	e.ts, e.vs, e.chunks = e.ts[:0], e.vs[:0], e.chunks[:0]
	for _, s := range rows {
		e.ts, e.vs = append(e.ts, s.t), append(e.vs, s.v)
	}
	for from := 0; from < len(e.ts); {
		n := min(len(e.ts)-from, samplesPerChunk)
		data := e.pack(from, n)
		if len(data) > chunk.MaxBytes && n > chunk.TargetSamples {
			n = chunk.TargetSamples
			data = e.pack(from, n)
		}
		e.chunks = append(e.chunks, block.Chunk{Encoding: chunk.EncXOR, Data: data, MinTime: e.ts[from], MaxTime: e.ts[from+n-1]})
		from += n
	}
	return e.chunks
}

// pack encodes samples into the memory of the next chunk.
func (e *encoder) pack(from, n int) []byte {
	at := len(e.chunks)
	if at == len(e.bufs) {
		e.bufs = append(e.bufs, nil)
	}
	e.bufs[at] = e.packer.Encode(e.bufs[at], e.ts[from:from+n], e.vs[from:from+n])
	return e.bufs[at]
}
