// Package exec evaluates logical plans over a storage.
//
// Start with [Prepare], which makes an operator of each node of the plan, bottom up, and [Prepared.Finish]. An operator
// knows the labels of all series that it yields before it calculates any of their values, so that groups and matches are
// found once per series; after that it yields the values of any one series at all steps, a row, on any goroutine and in
// any order. Only operators that need all series to yield one, such as aggregations, keep rows in memory: most of them no
// more than groups × steps.
//
// The files, from the outside in: run.go takes a plan to its result, query.go makes an operator of each node, and each.go
// calculates the rows of one, on several goroutines; row.go and worker.go have what they calculate with. The leaves are
// selector.go and read.go; window.go moves windows over what these read, for the kernels of kernels_*.go and extended.go
// (anchored and smoothed). Above them, aggregate.go and topk.go fold rows into groups, join.go and setop.go match two
// operands, unique.go merges series that have become the same, and native_*.go calculate with native histograms. budget.go
// and pace.go keep all of it within limits, tally.go and probe.go count.
//
// To add a function, write it and add its row to the table of its family: a function of values in functions.go, one over
// windows in window_table.go. One that changes labels or looks at whole vectors has a file of its own and a case in
// buildCall. docs/promql.md shows all of it.
package exec
