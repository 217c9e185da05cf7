//go:build e2e && linux

package e2e

import (
	"path/filepath"
	"testing"
	"time"
)

// TestCrashes kills the server again and again, at another moment each time, while it writes to its log and cuts blocks
// of one second. Whatever a query has returned is there after each restart, once and unchanged.
func TestCrashes(t *testing.T) {
	t.Parallel()
	target, dir := newRecorder(t), t.TempDir()
	o := options{
		dir:    dir,
		config: "scrape_configs:\n" + staticJob("a", "20ms", target.address),
		args:   []string{"--storage.tsdb.min-block-duration=1s", "--storage.tsdb.max-block-duration=1s"},
	}
	seen, compared := map[string][]point{}, 0
	for round := range 8 {
		s := start(t, o)
		compared = wantKept(t, seen, s.everything(time.Now()))
		if round%2 == 0 { // Otherwise it dies while it cuts what the last run has left.
			target.awaitMore(t, 20*(round+1))
		}
		seen = s.everything(time.Now())
		s.kill()
	}
	if compared < 1000 {
		t.Errorf("only %d samples were compared", compared)
	}
	blocks, err := filepath.Glob(filepath.Join(dir, "data", "*", "meta.json"))
	if err != nil || len(blocks) == 0 {
		t.Errorf("no block was cut: %v", err)
	}
	t.Logf("%d samples survived, in %d blocks and the log", compared, len(blocks))
}
