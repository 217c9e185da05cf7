// Package promqltest runs test scripts in the language of upstream's promqltest against any engine over any storage.
//
// Start with [Parse] and [Script.Run]. A script loads samples and evaluates queries; each evaluation is a case that
// passes or fails on its own:
//
//	load 1m
//	  requests_total{job="api"} 0+60x10
//
//	eval instant at 10m rate(requests_total[5m])
//	  {job="api"} 1
//
//	eval range from 5m to 10m step 5m requests_total
//	  requests_total{job="api"} 300 600
//
//	eval instant at 10m label_replace(requests_total, "1", "", "job", "(")
//	  expect fail regex: invalid regular expression
//
// Parse refuses a script that makes no sense, such as one with a query that cannot be parsed, and names the line.
//
// Besides what a case says, Run checks that an instant query has the same result when all of its selectors are
// pinned by @ and it is evaluated at other times, and in the middle of a range query.
package promqltest
