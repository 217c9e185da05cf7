// Package storagetest holds a storage in memory and the suite that checks any storage against the words of package
// storage.
//
// Start with [Run] to test a storage of your own and with [NewStore] for a storage to test against. The store keeps
// everything in plain slices, forever: it is for tests, not for servers.
package storagetest
