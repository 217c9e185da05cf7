// Package promql compares the engine with upstream's: the same queries over the same samples. It is a module of its
// own, so that upstream reaches neither the binary nor the main go.mod.
package promql
