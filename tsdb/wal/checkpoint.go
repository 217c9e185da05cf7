package wal

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Rewriter decides what of a record stays in a checkpoint: it returns the records that take its place, none to drop
// it. They must be valid until the next call. Next is also called once with a nil record at the end, for what it kept
// back.
type Rewriter func(rec []byte) ([][]byte, error)

// checkpointBatch is the number of bytes after which a checkpoint's records are written.
const checkpointBatch = 1 << 20

// Checkpoint puts the records that fill adds in the place of the segments up to last, which must be complete, and of the
// checkpoint before them. add copies what it is given. On an error the log is as before, or there is more than the next
// call needs to delete.
func (l *Log) Checkpoint(last int, fill func(add func(recs ...[]byte) error) error) error {
	_, done, _, err := LastCheckpoint(l.fs, l.dir)
	if err != nil {
		return err
	}
	if done < last { // Else it was written before, and what it stands for could not be deleted.
		l.metrics.checkpoints.Inc()
		if err := l.writeCheckpoint(last, fill); err != nil {
			l.metrics.checkpointsFailed.Inc()
			return fmt.Errorf("write checkpoint %d: %w", last, err)
		}
	}
	l.checkpointed.Store(int64(last) + 1)
	return errors.Join(l.Truncate(last+1), l.deleteCheckpoints(last))
}

// Rewrite is Checkpoint with what rewrite keeps of the records that are there. What is damaged is reported, left out, and
// thereby gone.
func (l *Log) Rewrite(last int, rewrite Rewriter, onDamage func(*Damage)) error {
	return l.Checkpoint(last, func(add func(recs ...[]byte) error) error {
		chain, err := FindChain(l.fs, l.dir)
		if err != nil {
			return err
		}
		segs := slices.DeleteFunc(chain.Segments, func(s Segment) bool { return s.Dir == l.dir && s.Index > last })
		r := NewReader(l.fs, segs, onDamage)
		for err == nil && r.Next() {
			err = addKept(add, rewrite, r.Record())
		}
		if err == nil {
			err = r.Err() // The segments are kept, for their content may be intact.
		}
		if err == nil {
			err = addKept(add, rewrite, nil)
		}
		return errors.Join(err, r.Close())
	})
}

func addKept(add func(recs ...[]byte) error, rewrite Rewriter, rec []byte) error {
	recs, err := rewrite(rec)
	if err != nil {
		return err
	}
	return add(recs...)
}

func (l *Log) writeCheckpoint(last int, fill func(add func(recs ...[]byte) error) error) error {
	if current := l.Index(); last >= current {
		return fmt.Errorf("segment %d is being written", current)
	}
	path := checkpointPath(l.dir, last)
	tmp := path + tmpSuffix
	if err := l.fs.RemoveAll(tmp); err != nil {
		return err
	}
	err := l.fillFolder(tmp, fill)
	if err == nil {
		err = l.fs.Rename(tmp, path)
	}
	if err != nil {
		return errors.Join(err, l.fs.RemoveAll(tmp))
	}
	return nil
}

// fillFolder writes a log of its own into a folder.
func (l *Log) fillFolder(dir string, fill func(add func(recs ...[]byte) error) error) error {
	out, err := Open(Options{Dir: dir, SegmentSize: l.segmentSize, Compression: l.comp.kind, FS: l.fs})
	if err != nil {
		return err
	}
	b := batch{log: out}
	err = out.NextSegment() // A checkpoint of nothing is a segment too.
	if err == nil {
		err = fill(b.add)
	}
	if err == nil {
		err = b.flush()
	}
	return errors.Join(err, out.Close(), l.fs.SyncDir(dir))
}

// batch collects records, so that they are not written one by one.
type batch struct {
	log  *Log
	recs [][]byte
	size int
}

func (b *batch) add(recs ...[]byte) error {
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
