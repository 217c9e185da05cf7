package wal

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// Rewriter decides what of a record stays in a checkpoint: it returns the records that take its place, none to drop
// it. They must be valid until the next call. Next is also called once with a nil record at the end, for what it kept
// back.
type Rewriter func(rec []byte) ([][]byte, error)

// checkpointBatch is the number of bytes after which a checkpoint's records are written.
const checkpointBatch = 1 << 20

// Checkpoint replaces the older part of the log, up to two thirds of the segments, by what rewrite keeps of it. It
// does nothing, and returns false, while there are fewer than two full segments. What is damaged is reported, left
// out, and thereby gone.
func (l *Log) Checkpoint(rewrite Rewriter, onDamage func(*Damage)) (bool, error) {
	last, ok, err := l.checkpointEnd()
	if err != nil || !ok {
		return false, err
	}
	l.metrics.checkpoints.Inc()
	if err := l.writeCheckpoint(last, rewrite, onDamage); err != nil {
		l.metrics.checkpointsFailed.Inc()
		return false, fmt.Errorf("write checkpoint %d: %w", last, err)
	}
	if err := l.Truncate(last + 1); err != nil {
		return true, err
	}
	return true, l.deleteCheckpoints(last)
}

// checkpointEnd returns the last segment that the next checkpoint is to cover.
func (l *Log) checkpointEnd() (last int, ok bool, err error) {
	segs, err := ListSegments(l.fs, l.dir)
	if err != nil || len(segs) == 0 {
		return 0, false, err
	}
	first, current := segs[0].Index, segs[len(segs)-1].Index
	// The segment that is being written never counts.
	last = first + (current-1-first)*2/3
	return last, current-1 > first && last >= first, nil
}

func (l *Log) writeCheckpoint(last int, rewrite Rewriter, onDamage func(*Damage)) error {
	chain, err := FindChain(l.fs, l.dir)
	if err != nil {
		return err
	}
	segs := chain.Segments[:0]
	for _, s := range chain.Segments {
		if s.Dir != l.dir || s.Index <= last {
			segs = append(segs, s)
		}
	}
	path := checkpointPath(l.dir, last)
	tmp := path + tmpSuffix
	if err := l.fs.RemoveAll(tmp); err != nil {
		return err
	}
	err = l.copyTo(tmp, segs, rewrite, onDamage)
	if err == nil {
		err = l.fs.Rename(tmp, path)
	}
	if err != nil {
		return errors.Join(err, l.fs.RemoveAll(tmp))
	}
	return nil
}

func (l *Log) copyTo(dir string, segs []Segment, rewrite Rewriter, onDamage func(*Damage)) error {
	out, err := Open(Options{Dir: dir, SegmentSize: l.segmentSize, Compression: l.comp.kind, FS: l.fs})
	if err != nil {
		return err
	}
	if err := out.NextSegment(); err != nil { // A checkpoint of nothing is a segment too.
		return errors.Join(err, out.Close())
	}
	r := NewReader(l.fs, segs, onDamage)
	b := batch{log: out}
	for err == nil && r.Next() {
		var recs [][]byte
		if recs, err = rewrite(r.Record()); err == nil {
			err = b.add(recs)
		}
	}
	if err == nil {
		err = r.Err() // The segments are kept, for their content may be intact.
	}
	if err == nil {
		var recs [][]byte
		if recs, err = rewrite(nil); err == nil {
			err = errors.Join(b.add(recs), b.flush())
		}
	}
	return errors.Join(err, r.Close(), out.Close(), l.fs.SyncDir(dir))
}

// batch collects records, so that they are not written one by one.
type batch struct {
	log  *Log
	recs [][]byte
	size int
}

func (b *batch) add(recs [][]byte) error {
	for _, rec := range recs {
		b.recs = append(b.recs, append([]byte(nil), rec...))
		b.size += len(rec)
	}
	if b.size < checkpointBatch {
		return nil
	}
	return b.flush()
}

func (b *batch) flush() error {
	if len(b.recs) == 0 {
		return nil
	}
	err := b.log.Append(b.recs...)
	b.recs, b.size = nil, 0
	return err
}

// deleteCheckpoints deletes those before last.
func (l *Log) deleteCheckpoints(last int) error {
	l.metrics.checkpointDeletions.Inc()
	all, err := listCheckpoints(l.fs, l.dir)
	for _, index := range all {
		if index < last && err == nil {
			err = l.fs.RemoveAll(checkpointPath(l.dir, index))
		}
	}
	if err != nil {
		l.metrics.checkpointDeletionsFailed.Inc()
		return fmt.Errorf("delete old checkpoints: %w", err)
	}
	return nil
}

// Clean removes what an interrupted checkpoint left behind. Call it before [Open].
func Clean(fs FS, dir string) error {
	names, err := fs.List(dir)
	if err != nil {
		return fmt.Errorf("clean log: %w", err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, checkpointPrefix) && strings.HasSuffix(name, tmpSuffix) {
			if err := fs.RemoveAll(filepath.Join(dir, name)); err != nil {
				return fmt.Errorf("clean log: %w", err)
			}
		}
	}
	return nil
}
