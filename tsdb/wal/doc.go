// Package wal is the write-ahead log: numbered segments of checksummed records, in the format that Prometheus writes
// and reads.
//
// Start with [Open], whose [Log.Append] makes a batch of records durable, and with [NewReader], which reads the
// records of a [Chain] of segments back. The records themselves are encoded and decoded by functions such as
// [AppendSamples] and [DecodeSamples]; [Log.Checkpoint] rewrites old segments into a smaller form.
//
// The package does not know what a sample means: which records are written, kept or dropped is the caller's decision.
// The format is drawn in docs/format/wal.md.
//
// Invariants, kept by the writer and relied on by the reader:
//
//  1. A record lies in one segment. Its fragments fill consecutive pages, so nothing lies between them.
//  2. A page ends with fewer than seven zero bytes of padding, except for the last page of a segment.
//  3. The bytes up to the end of the last acknowledged batch are never written again, and after a failed write a
//     segment ends with them, or, where even that fails, no further batch goes to that segment.
//  4. An opened log begins a new segment: nobody appends behind bytes that another run wrote.
package wal
