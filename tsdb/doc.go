// Package tsdb is the storage engine: a directory of Prometheus's formats in which samples are kept, appended to and
// queried.
//
// Start with [Open], which gives a [DB]; [DB.Run] is its background, [DB.Appender] and [DB.Querier] are what the rest
// of the program uses. Recent samples lie in the head (package head) behind a write-ahead log (package wal), older ones
// in immutable blocks (package block); a querier reads all of them as one.
//
// The package knows nothing of scraping or of PromQL, and it does not merge small blocks into larger ones.
package tsdb
