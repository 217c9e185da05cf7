// Package headchunk keeps complete chunks of the head in files, mapped into memory, in the format of Prometheus's
// chunks_head folder.
//
// Start with [Open]; [Store.Each] goes through what earlier runs wrote, [Store.Append] adds chunks, [Store.Chunk] reads
// one, and [Store.Truncate] deletes the oldest files. The package does not know what a chunk holds, nor which chunks are
// still needed: the head does. Everything in the files is in the write-ahead log as well, so nothing here is flushed to
// the disk on purpose. The format is drawn in docs/format/headchunks.md.
package headchunk
