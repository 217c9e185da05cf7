// Package scrape compares how this project scrapes with how the published Prometheus module does: that both read the same
// out of the same bodies, and what it costs. It is a module of its own, so that Prometheus's code never reaches the
// program.
//
// Start with TestDifferential and BenchmarkScrape.
package scrape
