package host

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// cleanupGrace bounds one cleanup.
const cleanupGrace = 10 * time.Second

// cleanups are what has to be released, in the order in which it was taken.
type cleanups struct{ stack []cleanup }

type cleanup struct {
	name string
	f    func() error
}

func (c *cleanups) add(name string, f func() error) {
	c.stack = append(c.stack, cleanup{name, f})
}

// run releases everything, last in, first out, and forgets it, so that a second call does nothing. A cleanup that hangs
// is left behind with an error.
func (c *cleanups) run(log *slog.Logger) error {
	var errs []error
	for len(c.stack) > 0 {
		last := c.stack[len(c.stack)-1]
		c.stack = c.stack[:len(c.stack)-1]
		done := make(chan error, 1)
		go func() { done <- last.f() }()
		select {
		case err := <-done:
			if err != nil {
				errs = append(errs, fmt.Errorf("close %s: %w", last.name, err))
			}
		case <-time.After(cleanupGrace):
			log.Error("part does not close, going on without it", "part", last.name, "waited", cleanupGrace)
			errs = append(errs, fmt.Errorf("close %s: not done after %v", last.name, cleanupGrace))
		}
	}
	return errors.Join(errs...)
}
