package send

import (
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/tsdb/wal"
)

// name makes a reference lead to the series with the given labels. Known ones stay.
func (f *follower) name(ref uint64, ls labels.Labels, segment int) *series {
	s := f.table.get(ref)
	if s == nil {
		s = f.names.series(ls)
		f.table.set(ref, s)
	}
	s.segment = max(s.segment, segment)
	return s
}

func (f *follower) nameAll(segment int) {
	for i := range f.series {
		f.name(f.series[i].Ref, f.series[i].Labels, segment)
	}
	clear(f.series)
}

func (f *follower) describe() {
	for i := range f.metadata {
		if s := f.table.get(f.metadata[i].Ref); s != nil {
			f.names.describe(s, &f.metadata[i].Metadata)
		}
	}
	clear(f.metadata)
}

// forget drops series that the log does not name any more, after each checkpoint.
func (f *follower) forget() {
	if last := f.tail.Log().LastCheckpoint(); last <= f.checkpoint || f.tail.Position().Segment <= last {
		return
	}
	last, err := f.learn()
	if err != nil {
		f.q.log.Warn("a checkpoint of the write-ahead log cannot be read, series are forgotten later", "err", err)
		f.checkpoint = f.tail.Log().LastCheckpoint() // Not again and again.
		return
	}
	f.checkpoint = last
	if f.tail.Position().Segment <= last {
		return
	}
	f.table.sweep(func(_ uint64, s *series) bool {
		if s.segment > last {
			return true
		}
		f.names.forget(s)
		return false
	})
	f.q.known.Store(int64(f.table.count))
}

// learn takes in the series that the newest checkpoint names, and returns which one that is.
func (f *follower) learn() (last int, err error) {
	const attempts = 3 // The next checkpoint may take its place.
	for range attempts {
		var found []wal.Series
		last, err = f.tail.Log().ReadCheckpoint(func(last int, rec []byte) {
			switch wal.TypeOf(rec) {
			case wal.TypeSeries:
				found, _ = wal.DecodeSeries(rec, found[:0]) // Damage would be reported by its checksum.
				for i := range found {
					// What is needed behind the checkpoint is kept, as if it was named there.
					f.name(found[i].Ref, found[i].Labels, last+1)
				}
			case wal.TypeMetadata:
				f.metadata, _ = wal.DecodeMetadata(rec, f.metadata[:0])
				if f.q.cfg.ProtobufMessage == V2 {
					f.describeNew()
				}
			}
		})
		if err == nil {
			return last, nil
		}
	}
	return last, err
}

// describeNew gives metadata to series that have none.
func (f *follower) describeNew() {
	for i := range f.metadata {
		if s := f.table.get(f.metadata[i].Ref); s != nil && s.about.Load() == nil {
			f.names.describe(s, &f.metadata[i].Metadata)
		}
	}
	clear(f.metadata)
}
