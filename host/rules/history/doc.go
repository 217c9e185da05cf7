// Package history applies rules to the past: what recording rules would have recorded, and when alerts would have fired.
//
// Start with [Backfill] and [Replay]. Both read a [Source], which is a storage ([Local]) or a server ([Remote]).
package history
