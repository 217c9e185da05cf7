package session_test

import (
	"io"
	"testing"

	"go.uber.org/goleak"

	"github.com/narthex-io/narthex/host/plugin/internal/kitchen"
	"github.com/narthex-io/narthex/host/plugin/internal/runtimetest"
	"github.com/narthex-io/narthex/host/plugin/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestInProcess(t *testing.T) {
	runtimetest.Run(t, runtimetest.Suite{
		Start: func(_ testing.TB, stderr io.Writer) session.Transport {
			return runtimetest.NewInProcess(kitchen.Plugin(), func(line []byte) { _, _ = stderr.Write(line) })
		},
	})
}
