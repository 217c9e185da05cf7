// Package query reads the samples of other servers by remote read, and makes them and the local storage one: what the section
// remote_read of the configuration is about.
//
// Start with [Storage], which opens queriers over the local storage and over each remote (storage.go). A selection asks all
// remotes at once and in the background (querier.go, remote.go); an answer is read as a whole, checked, and kept as chunks, within
// bounds of memory, before a series of it is handed out (answer.go, frames.go, samples.go). A remote that fails is a warning of the query and
// has no series in it; a local storage that fails is an error. Questions about names and values of labels are for the local storage alone: the protocol has no words for them.
//
// The serving side of the protocol is in package read.
package query
