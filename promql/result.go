package promql

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
