// Package tsdb is the storage engine: a directory of Prometheus's formats in which samples are kept, appended to and
// queried.
//
// Start with [Open], which gives a [DB]; [DB.Run] is its background, [DB.Appender] and [DB.Querier] are what the rest
// of the program uses. Recent samples lie in the head (package head) behind a write-ahead log (package wal), older ones
// in immutable blocks (package block), which are merged into larger ones as time goes by (package compact); a querier
// reads all of them as one. [DB.Delete], [DB.CleanTombstones] and [DB.Snapshot] are what an administrator asks for.
// [OpenReadOnly] looks at a directory without writing there, also while a server uses it.
//
// # As a library
//
// The package needs nothing of the server: the example is a whole program. These rules are all there is to it:
//
//   - Times are milliseconds since 1970. A series' samples come in order of time, or within [Options].OutOfOrderWindow.
//   - What belongs together goes into one batch: it is logged, acknowledged and seen by queries as a whole. An
//     [storage.Appender] takes any number of calls of Append and ends with one of Commit or Rollback.
//   - Each entry has an outcome of its own: a rejected one, such as storage.ErrOutOfOrder, does not spoil the others. Keep
//     the reference that it returns: the next entry of that series is found at once, and needs no labels.
//   - A [storage.Querier] is a snapshot, and must be closed: samples that a block holds by then stay in memory until it is.
//   - Without [DB.Run] nothing leaves memory: no block is cut, merged or deleted. It blocks; run it in a goroutine, and
//     let it return before Close.
//
// docs/format draws the directory and the head. The package knows nothing of scraping or of PromQL.
package tsdb
