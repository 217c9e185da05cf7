// Package backfill makes blocks of samples that come as text in the OpenMetrics format: what another system has
// recorded, or what was dumped.
//
// Start with [Import]. It reads the text once and in parts, so that neither a large file nor a pipe has to fit into
// memory: samples are sorted in runs (runs.go) that are put aside in a file and merged again (merge.go), window by window
// and series by series, straight into blocks (blocks.go). The blocks appear at the very end, all of them or none. Rules
// are applied to the past by host/rules/history.
package backfill
