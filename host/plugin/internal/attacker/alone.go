//go:build !shared

package main

// shared says that the guest's process can have siblings.
const shared = false
