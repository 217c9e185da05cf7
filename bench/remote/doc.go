// Package remote compares how this project deals with other servers with how the published Prometheus module does: that both
// give the same answers to the same requests, good and bad. Remote writes have to leave the same in the storage; federation
// and remote read have to answer from equal storages with the same bytes; queries that read from other servers have to come to the same results. It is a module of its own, so that Prometheus's code never reaches the program.
//
// Start with TestDifferential, TestDifferentialFederation, TestDifferentialRead and TestDifferentialQuery.
package remote
