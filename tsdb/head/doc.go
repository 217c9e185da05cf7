// Package head keeps the recent samples in memory, behind a write-ahead log.
//
// Start with [Open], which reads the log and returns a [Head]; [Head.Appender] and [Head.Querier] implement the
// contracts of package storage, [Head.Series] feeds the writer of a block, and [Head.Truncate] forgets what a block
// holds by then. The package writes no blocks, and has goroutines only while [Open] reads the log: the samples of each page are
// appended by one of several. docs/format/head.md draws what follows.
//
// A series is a number, its id, counted up from zero while the process runs and never used twice; it leads to a slot
// in a page of [pageSize] series. Slots hold no pointers: the labels are numbers of interned name/value pairs, the chunk
// that is being filled lies in a slab, and the complete ones follow each other in one byte slice a series. What only few
// series have lies beside the slots: open chunks of histograms, and samples that came out of order, which go to a log of
// their own and from there to blocks with [Head.BeginLateCut]. Exemplars of all series share one ring.
//
// Locks are taken in this order, and none is held while another goroutine is waited for:
//
//  1. Head.commit serializes commits: what is in the log and what is in memory have the same order.
//  2. snapshots.mu excludes the making of queriers while a batch becomes visible.
//  3. index.mu guards pairs, postings, the table of label sets and the list of pages.
//  4. page.mu guards the slots of a page.
package head
