package api

import (
	"net/http"
	"strconv"
)

// TSDBStatus is the answer of /status/tsdb: what is in memory, and what most of it is.
type TSDBStatus struct {
	HeadStats                   TSDBHeadStats `json:"headStats"`
	SeriesCountByMetricName     []TSDBStat    `json:"seriesCountByMetricName"`
	LabelValueCountByLabelName  []TSDBStat    `json:"labelValueCountByLabelName"`
	MemoryInBytesByLabelName    []TSDBStat    `json:"memoryInBytesByLabelName"`
	SeriesCountByLabelValuePair []TSDBStat    `json:"seriesCountByLabelValuePair"`
}

// TSDBHeadStats are numbers about the samples in memory; times are in milliseconds.
type TSDBHeadStats struct {
	NumSeries     int   `json:"numSeries"`
	NumLabelPairs int   `json:"numLabelPairs"`
	ChunkCount    int   `json:"chunkCount"`
	MinTime       int64 `json:"minTime"`
	MaxTime       int64 `json:"maxTime"`
}

// TSDBStat is a count by name.
type TSDBStat struct {
	Name  string `json:"name"`
	Value int    `json:"value"`
}

// maxStats bounds the length of the lists.
const maxStats = 10_000

func (a *api) statusTSDB(r *http.Request) (*answer, error) {
	limit := 10
	if text := r.FormValue("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 {
			return nil, badData("limit must be a positive number")
		}
		if limit > maxStats {
			return nil, badData("limit must not exceed %d", maxStats)
		}
	}
	return &answer{data: a.TSDB(limit)}, nil
}

func (a *api) statusBlocks(*http.Request) (*answer, error) {
	return &answer{data: map[string]any{"blocks": a.Blocks()}}, nil
}
