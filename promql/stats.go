package promql

import (
	"encoding/json"
	"time"
)

// Stats tell what a query cost. Encoded as JSON, they have the form of the HTTP API and of the query log.
type Stats struct {
	Timings Timings     `json:"timings"`
	Samples SampleStats `json:"samples"`
}

// Timings are the wall-clock times of the parts of a query.
type Timings struct {
	// EvalTotal is all but the wait, ExecTotal everything.
	EvalTotal time.Duration
	// ResultSort makes and orders the result.
	ResultSort time.Duration
	// QueryPreparation is parsing, planning, and finding the series in the storage; InnerEval is the evaluation.
	QueryPreparation, InnerEval time.Duration
	// ExecQueue is the wait for a free place.
	ExecQueue, ExecTotal time.Duration
}

// MarshalJSON writes all times in seconds.
func (t Timings) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		EvalTotal        float64 `json:"evalTotalTime"`
		ResultSort       float64 `json:"resultSortTime"`
		QueryPreparation float64 `json:"queryPreparationTime"`
		InnerEval        float64 `json:"innerEvalTime"`
		ExecQueue        float64 `json:"execQueueTime"`
		ExecTotal        float64 `json:"execTotalTime"`
	}{
		t.EvalTotal.Seconds(), t.ResultSort.Seconds(), t.QueryPreparation.Seconds(), t.InnerEval.Seconds(),
		t.ExecQueue.Seconds(), t.ExecTotal.Seconds(),
	})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (t *Timings) UnmarshalJSON(text []byte) error {
	var seconds struct {
		EvalTotalTime, ResultSortTime, QueryPreparationTime, InnerEvalTime, ExecQueueTime, ExecTotalTime float64
	}
	if err := json.Unmarshal(text, &seconds); err != nil {
		return err
	}
	of := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	*t = Timings{
		EvalTotal: of(seconds.EvalTotalTime), ResultSort: of(seconds.ResultSortTime),
		QueryPreparation: of(seconds.QueryPreparationTime), InnerEval: of(seconds.InnerEvalTime),
		ExecQueue: of(seconds.ExecQueueTime), ExecTotal: of(seconds.ExecTotalTime),
	}
	return nil
}

// SampleStats count samples.
type SampleStats struct {
	// PerStep and ReadPerStep split TotalQueryable and Read by step; they are only set if the query asked for that.
	PerStep []StepCount `json:"totalQueryableSamplesPerStep,omitempty"`
	// TotalQueryable counts the samples that the steps of the query looked at, a sample in several windows several
	// times; Read counts it in the first of them.
	TotalQueryable int64       `json:"totalQueryableSamples"`
	ReadPerStep    []StepCount `json:"samplesReadPerStep,omitempty"`
	Read           int64       `json:"samplesRead"`
	// Peak is the largest number of samples that were held in memory at the same time.
	Peak int64 `json:"peakSamples"`
}

// StepCount is the number of samples of one step.
type StepCount struct {
	// T is the time of the step in milliseconds.
	T     int64
	Count int64
}

// MarshalJSON writes the time in seconds, and the number.
func (c StepCount) MarshalJSON() ([]byte, error) {
	return json.Marshal([...]any{float64(c.T) / 1000, c.Count})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (c *StepCount) UnmarshalJSON(text []byte) error {
	var pair [2]float64
	if err := json.Unmarshal(text, &pair); err != nil {
		return err
	}
	c.T, c.Count = int64(pair[0]*1000), int64(pair[1])
	return nil
}
