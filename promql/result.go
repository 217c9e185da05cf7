package promql

import "time"

// Result is the answer to a query with everything that is to be said about it.
type Result struct {
	Value Value
	// Warnings and Infos are annotations, ready for display, each one once and sorted. Warnings include those of the
	// storage.
	Warnings, Infos []string
	Stats           Stats
	release         func()
}

// Release gives the memory of the points of the value back to the engine, for other queries. Neither they nor slices of
// them may be used any more. Without it, the garbage collector takes care.
func (r *Result) Release() {
	r.Value = nil
	if r.release != nil {
		r.release()
	}
}

// Stats tell what a query cost.
type Stats struct {
	Timings Timings
	Samples SampleStats
}

// Timings are the wall-clock times of the parts of a query.
type Timings struct {
	// ExecQueue is the wait for a free place; QueryPreparation is planning, selecting series, and evaluating the
	// operators that need all of their input before they yield anything, such as aggregations; InnerEval is the rest of
	// the evaluation; ResultSort makes the result; EvalTotal is all of these but the wait, ExecTotal everything.
	ExecQueue, QueryPreparation, InnerEval, ResultSort, EvalTotal, ExecTotal time.Duration
}

// SampleStats count samples.
type SampleStats struct {
	// TotalQueryable counts the samples that the steps of the query looked at, a sample in several windows several
	// times. Read counts the samples read from storage, each once per selector.
	TotalQueryable, Read int64
	// Peak is the largest number of samples that were held in memory at the same time.
	Peak int64
	// PerStep splits TotalQueryable by step; it is only set if the query asked for it.
	PerStep []StepCount
}

// StepCount is the number of samples that one step looked at.
type StepCount struct {
	T     int64
	Count int64
}
