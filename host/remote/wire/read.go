package wire

// Numbers of the fields of prometheus.ReadRequest and what is in it.
const (
	RequestQueries = 1
	RequestTypes   = 2

	QueryStart    = 1
	QueryEnd      = 2
	QueryMatchers = 3
	QueryHints    = 4

	MatcherType  = 1
	MatcherName  = 2
	MatcherValue = 3

	HintStep     = 1
	HintFunc     = 2
	HintStart    = 3
	HintEnd      = 4
	HintGrouping = 5
	HintBy       = 6
	HintRange    = 7
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

	SeriesLabels     = 1
	SeriesSamples    = 2
	SeriesHistograms = 4
)

// Numbers of the fields of prometheus.ChunkedReadResponse and what is in it.
const (
	ChunkedSeries = 1
	ChunkedQuery  = 2
	ChunkedLabels = 1
	ChunkedChunks = 2
	ChunkMin      = 1
	ChunkMax      = 2
	ChunkEncoding = 3
	ChunkData     = 4
)
