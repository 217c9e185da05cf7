// Package compact makes few large blocks of many small ones.
//
// Start with [Rules.Plan], which says what is to be merged next and is a function of the blocks' descriptions alone, and
// [Merge], which writes the merged block. The package neither schedules nor deletes: package tsdb replaces the sources
// of a merged block, whose description names them as parents.
package compact
