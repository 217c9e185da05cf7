// Package parser turns PromQL text into a typed syntax tree and back.
//
// Start with [New] and [Parser.ParseExpr], which return an [Expr]; [Inspect] and [Children] walk it, String and [Pretty]
// print it so that it parses to the same tree again. [LookupFunction] is the table of functions. The tree is never
// changed after parsing, so one tree may serve any number of queries at once.
//
// The package knows the language and checks types; it does not evaluate anything but durations, for which
// [DurationExpr.Resolve] needs no data. Positions are byte offsets into the text.
package parser
