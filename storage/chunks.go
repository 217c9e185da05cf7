package storage

// Chunk is a run of samples of one series as it is stored.
type Chunk struct {
	// MinT and MaxT are the times of the first and the last sample.
	MinT, MaxT int64
	// Encoding is the number by which Prometheus's formats call the encoding of Data.
	Encoding uint8
	Data     []byte
}

// ChunkReader is a [ColumnReader] that can also hand out samples as they are stored. Those of a durable storage can.
type ChunkReader interface {
	ColumnReader
	// Chunks appends, in place of calls of Read, chunks with exactly the samples that these would deliver, in order of time,
	// none of which overlap. What lies within the range as a whole is not encoded anew. The data must not be changed, and is
	// valid until the reader is used again or the querier is closed.
	Chunks(dst []Chunk) ([]Chunk, error)
}
