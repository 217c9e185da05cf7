package tsdb

import "context"

// engine is what the measurements need of a storage engine that keeps its data in one directory.
type engine interface {
	// append writes the current values of a target as one batch, as a scrape does: by the references that the batch
	// before returned.
	append(ctx context.Context, t *target) error
	// compact cuts the blocks that are due from the head, of which there are want then.
	compact(ctx context.Context, want int) error
	// snapshot writes the head as a block below dir.
	snapshot(ctx context.Context, dir string) error
	reader
}

// reader answers queries, from a whole directory or from one block.
type reader interface {
	// count returns the number of series that the matchers select, going through all of them without their labels.
	count(ctx context.Context, ms ...matcher) (int, error)
	// read reads all samples in [mint, maxt], as the engine for queries does, and returns their number and their
	// values' bits, exclusive-ored: the sum would take as long as decoding.
	read(ctx context.Context, mint, maxt int64, ms ...matcher) (n int, sum uint64, err error)
	labelNames(ctx context.Context, ms ...matcher) ([]string, error)
	labelValues(ctx context.Context, name string, ms ...matcher) ([]string, error)
	close() error
}

// blockReader is a block alone.
type blockReader interface {
	reader
	// postings is count for the index alone: the ids of the series are found and listed, the series not looked at.
	postings(ctx context.Context, ms ...matcher) (int, error)
}

// engineKind makes engines of one sort.
type engineKind struct {
	name string
	open func(ctx context.Context, dir string) (engine, error)
	// openBlock opens a block alone, and merge merges blocks into one below dest.
	openBlock func(dir string) (blockReader, error)
	merge     func(ctx context.Context, dest string, blocks []string) error
}

// matcher is one condition, op being that of PromQL.
type matcher struct{ name, op, value string }

func (m matcher) String() string { return m.name + m.op + `"` + m.value + `"` }

// The engines by name.
const (
	upstreamName = "prometheus"
	ourName      = "narthex"
)

func kindOf(name string) engineKind {
	if name == upstreamName {
		return engineKind{upstreamName, openUpstream, openUpstreamBlock, mergeUpstream}
	}
	return engineKind{ourName, openOurs, openOurBlock, mergeOurs}
}
