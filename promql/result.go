package promql

// Result is the answer to a query, with its annotations and statistics.
type Result struct {
	Value Value
	// Warnings and Infos are annotations, ready for display, sorted and without duplicates. After the warnings come those of
	// the storage, and the one about [QueryOptions.Limit].
	Warnings, Infos []string
	Stats           Stats
	release         func()
}

// Release gives the memory of the value's points back to the engine, for other queries. Points, and slices of them, must
// not be used after that. A result that is not released is left to the garbage collector.
func (r *Result) Release() {
	r.Value = nil
	if r.release != nil {
		r.release()
	}
}
