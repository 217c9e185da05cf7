// Package promql answers PromQL queries over any storage that keeps the contracts of package storage.
//
// Start with [New], [Engine.Instant] and [Engine.Range]; both return a [Result]. Errors are told apart by [KindOf].
//
// A query goes through four steps: promql/parser makes a syntax tree of the text, promql/plan a logical plan of the
// tree, optimizers rewrite the plan, and promql/exec evaluates it one series at a time over all steps of the query.
//
// engine.go has what surrounds these steps, from the wait for a place to the statistics, evaluate.go the steps themselves;
// docs/promql.md follows a query through all of them. Of a storage, the engine calls Querier, Select and Close.
//
// The engine knows nothing of HTTP, of rules, or of how samples are stored.
package promql
