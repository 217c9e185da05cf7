//go:build race

package worker_test

// raceDetector needs address space that no limit of memory leaves it.
const raceDetector = true
