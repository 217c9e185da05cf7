//go:build unix

package process_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/narthex-io/narthex/host/plugin/process"
)

// TestRun: a task ends well, or with what it says, or with its context. It has no end of standard input before that.
func TestRun(t *testing.T) {
	run := func(ctx context.Context, script string) error {
		return process.Run(ctx, "/bin/sh", []string{"-c", script}, []string{"GIVEN=yes"})
	}
	if err := run(t.Context(), `test "$GIVEN" = yes`); err != nil {
		t.Error(err)
	}
	for script, want := range map[string]string{
		"echo no >&2; exit 1":                  "no\n",
		"echo no >&2; exit 3":                  "exit status 3: no\n",
		"kill -9 $$":                           "signal: killed: ",
		"yes no | head -c 1000000 >&2; exit 1": strings.Repeat("no\n", 4<<10)[:4<<10],
	} {
		failed := (*process.TaskError)(nil)
		if err := run(t.Context(), script); !errors.As(err, &failed) || err.Error() != want {
			t.Errorf("%s: %.100v", script, err)
		}
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("enough"))
	defer cancel()
	begin := time.Now()
	if err := run(ctx, "sleep 60 & cat"); err == nil || err.Error() != "enough" {
		t.Errorf("ended with %v", err)
	}
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
	if err := process.Run(t.Context(), "/nowhere", nil, nil); !errors.Is(err, process.ErrNotStarted) {
		t.Errorf("without a program: %v", err)
	}
}
