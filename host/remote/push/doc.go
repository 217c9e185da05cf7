// Package push sends what an exposition says to a remote write endpoint once, to try a receiver out.
//
// Start with [Push]. There is no queue and nothing is sent again: a server that forwards its samples does that elsewhere.
package push
