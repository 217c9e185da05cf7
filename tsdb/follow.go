package tsdb

import (
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/tsdb/head"
	"github.com/narthex-io/narthex/tsdb/wal"
)

// Committed describes a batch that was stored.
type Committed = head.Committed

// Log returns the write-ahead log, for those who follow what is written to it with [wal.Log.Tail].
func (db *DB) Log() *wal.Log { return db.head.Log() }

// LateLog returns the log of samples that come out of order, nil as long as there is none.
func (db *DB) LateLog() *wal.Log { return db.head.LateLog() }

// EachSeries calls f with each series in memory, under each reference that the log uses for it; see [head.Head.EachSeries].
func (db *DB) EachSeries(f func(ref uint64, ls labels.Labels, md sample.Metadata)) {
	db.head.EachSeries(f)
}
