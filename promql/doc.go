// Package promql answers PromQL queries over any storage that keeps the contracts of package storage.
//
// Start with [New], [Engine.Instant] and [Engine.Range]; both return a [Result]. Errors are told apart by [KindOf].
//
// A query goes through four steps: promql/parser makes a syntax tree of the text, promql/plan a logical plan of the
// tree, optimizers rewrite the plan, and promql/exec evaluates it one series at a time over all steps of the query.
//
// engine.go has what surrounds these steps, from the wait for a place to the statistics, and evaluate.go the steps
// themselves; docs/promql.md follows a query through all of them.
//
// A storage needs no more than [storage.Queryable]. Of its queriers the engine calls Select, without asking for an order,
// and Close, so that one that serves nothing else can embed a nil [storage.LabelQuerier]. Select gets the context of the
// query: a storage that waits has to return when it ends.
//
// The engine knows nothing of HTTP, of rules, or of how samples are stored.
package promql
