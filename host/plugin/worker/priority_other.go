//go:build !unix

package worker

// lowerPriority is for other systems.
func lowerPriority() {}
