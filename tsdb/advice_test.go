package tsdb

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/narthex-io/narthex/tsdb/block"
)

func TestAdvice(t *testing.T) {
	for want, err := range map[string]error{
		"make room":     syscall.ENOSPC,
		"kernel":        syscall.EIO,
		"read-only":     syscall.EROFS,
		"user":          syscall.EACCES,
		"backup":        block.ErrCorrupt,
		"see the error": errors.New("something else"),
	} {
		if got := advice(fmt.Errorf("cut block: %w", errors.Join(errors.New("other"), err))); !strings.Contains(got, want) {
			t.Errorf("%v: %s", err, got)
		}
	}
}
