// Package tsdb compares the storage engine with upstream's: the same data through both, in one run. It is a module of
// its own, so that upstream reaches neither the binary nor the main go.mod.
//
// TestRatios measures and prints a table; the round trips check that each engine reads what the other one wrote.
package tsdb
