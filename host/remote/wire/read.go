package wire

// Numbers of the fields of prometheus.ReadRequest and what is in it.
const (
	RequestQueries, RequestTypes = 1, 2

	QueryStart, QueryEnd, QueryMatchers, QueryHints = 1, 2, 3, 4

	MatcherType, MatcherName, MatcherValue = 1, 2, 3

	HintStep, HintFunc, HintStart, HintEnd, HintGrouping, HintBy, HintRange = 1, 2, 3, 4, 5, 6, 7
)

// Types of responses to remote reads, as requests accept them.
const (
	TypeSamples        = 0
	TypeStreamedChunks = 1
)

// Media types of responses to remote reads: of whole samples, and of chunks.
const (
	MediaSamples = "application/x-protobuf"
	MediaChunks  = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
)

// Numbers of the fields of prometheus.ReadResponse and what is in it.
const (
	ResponseResults = 1
	ResultSeries    = 1

	SeriesLabels, SeriesSamples, SeriesHistograms = 1, 2, 4
)

// Numbers of the fields of prometheus.ChunkedReadResponse and what is in it.
const (
	ChunkedSeries, ChunkedQuery                  = 1, 2
	ChunkedLabels, ChunkedChunks                 = 1, 2
	ChunkMin, ChunkMax, ChunkEncoding, ChunkData = 1, 2, 3, 4
)
