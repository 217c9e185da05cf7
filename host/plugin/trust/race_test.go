//go:build race

package trust

// underRace says that the race detector makes deriving keys slow.
const underRace = true
