// Package remote compares how this project takes in remote write requests with how the published Prometheus module does:
// that both give the same answers to the same requests, good and bad, and store the same. It is a module of its own, so that
// Prometheus's code never reaches the program.
//
// Start with TestDifferential.
package remote
