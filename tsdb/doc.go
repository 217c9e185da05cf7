// Package tsdb is the storage engine: a directory of Prometheus's formats in which samples are kept, appended to and
// queried.
//
// Start with [Open], which gives a [DB]; [DB.Run] is its background, [DB.Appender] and [DB.Querier] are what the rest
// of the program uses. Recent samples lie in the head (package head) behind a write-ahead log (package wal), older ones
// in immutable blocks (package block), which are merged into larger ones as time goes by (package compact); a querier
// reads all of them as one. [DB.Delete], [DB.CleanTombstones] and [DB.Snapshot] are what an administrator asks for.
//
// The package knows nothing of scraping or of PromQL.
package tsdb
