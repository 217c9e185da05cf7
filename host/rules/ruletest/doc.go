// Package ruletest runs unit tests of rule files, in the format of promtool test rules.
//
// Start with [Run]. A test file names rule files and lists tests; each gives series, and what alerts and expressions are
// to yield at certain times. Rules are evaluated by package rules over a storage that holds what a server would hold by
// that time.
package ruletest
