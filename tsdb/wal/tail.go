package wal

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Position is a place between two batches of a log.
type Position struct {
	Segment int
	// Offset is in bytes from the start of the segment.
	Offset int64
}

// Before reports whether p comes before o.
func (p Position) Before(o Position) bool {
	return p.Segment < o.Segment || p.Segment == o.Segment && p.Offset < o.Offset
}

// Start returns where the log began to write when it was opened.
func (l *Log) Start() Position { return Position{Segment: l.first} }

// End returns where the latest acknowledged batch ends.
func (l *Log) End() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil && l.index < l.first {
		return Position{Segment: l.first}
	}
	return Position{l.index, l.size}
}

// LastCheckpoint returns the last segment that a checkpoint covers which was written since the log was opened, -1 if none was.
func (l *Log) LastCheckpoint() int { return int(l.checkpointed.Load()) - 1 }

// acknowledged returns up to where a segment has acknowledged batches, and whether it gets no more; a size of -1 means the whole
// of it.
func (l *Log) acknowledged(segment int) (size int64, ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case segment > l.index:
		return 0, false
	case segment == l.index:
		return l.size, false
	}
	if size, ok := l.ends[segment]; ok {
		return size, true
	}
	return -1, true
}

// Tail reads the batches of a log while it is being written, those that are acknowledged and nothing else. It may lag: a
// segment that it has begun is read to the end although it is deleted, and others that are deleted are left out and
// reported. A tail is for one goroutine at a time, and does not hinder the log.
type Tail struct {
	log *Log
	r   *Reader
	// at is where the next record begins.
	at    Position
	onGap func(first, last int)
	err   error
}

// Tail returns a reader of what comes behind from, which is [Log.Start], [Log.End] or where another tail is. onDamage is
// called for each damage, onGap with the range of segments, both ends included, that were deleted before they were read;
// both from within [Tail.Next], and both may be nil.
func (l *Log) Tail(from Position, onDamage func(*Damage), onGap func(first, last int)) *Tail {
	if onGap == nil {
		onGap = func(int, int) {}
	}
	return &Tail{log: l, r: NewReader(l.fs, nil, onDamage), at: from, onGap: onGap}
}

// Position returns where the next record begins, which may be in a segment that does not exist yet.
func (t *Tail) Position() Position { return t.at }

// Log returns the log that is read.
func (t *Tail) Log() *Log { return t.log }

// Record returns the current record, which is valid until the next call of Next.
func (t *Tail) Record() []byte { return t.r.rec }

// Report counts the current record as damaged.
func (t *Tail) Report(err error) { t.r.Report(err) }

// Err returns why the latest call of Next failed to read; another call tries it again.
func (t *Tail) Err() error { return t.err }

// Close releases the tail.
func (t *Tail) Close() error { return t.r.Close() }

// Next goes to the next record. It returns false if there is none yet, or if reading fails: then [Tail.Err] says why.
func (t *Tail) Next() bool {
	t.err = nil
	for {
		if t.r.file == nil {
			if !t.open() {
				return false
			}
		}
		if t.r.at < len(t.r.page) {
			whole := t.r.fragment()
			t.at.Offset = t.r.position()
			if whole {
				return true
			}
			continue
		}
		size, ended := t.log.acknowledged(t.at.Segment)
		if size < 0 {
			if size, t.err = t.r.file.Size(); t.err != nil {
				return false
			}
		}
		switch {
		case t.at.Offset < size:
			more, ok := t.load(size)
			if !ok {
				return false
			}
			if !more && !ended {
				t.err = fmt.Errorf("read %s at offset %d: the file is shorter than what was written to it", t.r.Segment().Path(), t.at.Offset)
				return false
			}
			if !more {
				t.leave(size)
			}
		case ended:
			t.leave(size)
		default:
			return false
		}
	}
}

// open opens the segment that is to be read.
func (t *Tail) open() bool {
	if t.at.Segment > t.log.Index() {
		return false
	}
	seg := Segment{Dir: t.log.dir, Index: t.at.Segment}
	file, err := t.log.fs.Open(seg.Path())
	if errors.Is(err, os.ErrNotExist) {
		return t.skip()
	}
	if err != nil {
		t.err = fmt.Errorf("read log: %w", err)
		return false
	}
	r := t.r
	r.segs, r.next, r.file = []Segment{seg}, 1, file
	r.page, r.pageOff, r.at = nil, t.at.Offset, 0
	r.inRecord, r.padding, r.blank, r.torn = false, -1, false, false
	return true
}

// skip goes to the first segment that was not deleted and opens it.
func (t *Tail) skip() bool {
	segs, err := ListSegments(t.log.fs, t.log.dir)
	if err != nil {
		t.err = err
		return false
	}
	for _, s := range segs {
		if s.Index > t.at.Segment {
			first := t.at.Segment
			t.at = Position{Segment: s.Index}
			t.onGap(first, s.Index-1)
			return t.open()
		}
	}
	t.err = fmt.Errorf("segment %d of the log is missing, and there is none behind it", t.at.Segment)
	return false
}

// load reads the page in which the tail is, up to size. more is false if the file ends before.
func (t *Tail) load(size int64) (more, ok bool) {
	r := t.r
	page := t.at.Offset / pageSize * pageSize
	n := int(min(pageSize, size-page))
	got, err := r.file.ReadAt(r.buf[:n], page)
	if err != nil && got < n && !errors.Is(err, io.EOF) {
		t.err = fmt.Errorf("read %s at offset %d: %w", r.Segment().Path(), page, err)
		return false, false
	}
	at := int(t.at.Offset - page)
	if got <= at {
		return false, true
	}
	r.page, r.pageOff, r.at = r.buf[:got], page, at
	return true, true
}

// leave ends the segment and goes to the next one.
func (t *Tail) leave(size int64) {
	r := t.r
	r.endPadding(r.blank)
	if r.inRecord {
		r.damage(r.recordStart, size, errors.New("the segment ends within a record"))
		r.inRecord = false
	}
	_ = r.file.Close() // Opened for reading alone.
	r.file, r.page, r.at = nil, nil, 0
	t.at = Position{Segment: t.at.Segment + 1}
}

// ReadCheckpoint calls f with the records of the newest checkpoint, and with the last segment that it covers, which it also
// returns, -1 if there is no checkpoint. An error means that not all records could be read, as when the next checkpoint takes the place of this one meanwhile.
func (l *Log) ReadCheckpoint(f func(last int, rec []byte)) (last int, err error) {
	path, last, ok, err := LastCheckpoint(l.fs, l.dir)
	if err != nil || !ok {
		return -1, err
	}
	segs, err := ListSegments(l.fs, path)
	if err != nil {
		return -1, err
	}
	var damage error
	r := NewReader(l.fs, segs, func(d *Damage) { damage = d })
	for r.Next() {
		f(last, r.Record())
	}
	if err := errors.Join(r.Err(), damage, r.Close()); err != nil {
		return -1, fmt.Errorf("read checkpoint %d: %w", last, err)
	}
	return last, nil
}
