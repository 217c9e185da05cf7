package sdktest

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// T is what the kit needs of a *testing.T, so that it runs outside of tests too.
type T interface {
	Helper()
	Context() context.Context
	Cleanup(f func())
	Logf(format string, args ...any)
	Error(args ...any)
	Errorf(format string, args ...any)
	// Fatal and Fatalf do not return.
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// Result is what came of one part of the kit.
type Result struct {
	// Name is the part: manifest, bad-config, the kind's own, or close.
	Name string
	Took time.Duration
	// Problems are empty when the part passed.
	Problems []string
}

// Check tries what [Run] tries, outside of a test, and hands each result to report as it comes. It returns whether all
// parts passed. A part that is stopped by ctx has failed.
func Check(ctx context.Context, c Case, report func(Result)) bool {
	steps, err := c.steps()
	if err != nil {
		report(Result{Name: "kind", Problems: []string{err.Error()}})
		return false
	}
	good := true
	for _, s := range steps {
		begin := time.Now()
		problems := try(ctx, s, c.patient())
		good = good && len(problems) == 0
		report(Result{Name: s.name, Took: time.Since(begin), Problems: problems})
	}
	return good
}

// try runs a step in a goroutine of its own, which Fatal ends, and waits for it.
func try(ctx context.Context, s step, c Case) []string {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &recorder{ctx: ctx}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer r.cleanUp()
		s.run(c, r)
	}()
	<-ended
	return r.problems
}

// recorder is the T of a part that runs outside of a test.
type recorder struct {
	ctx context.Context //nolint:containedctx // Context returns it, as that of a test does

	mu       sync.Mutex
	problems []string
	cleanups []func()
}

// Helper implements T.
func (*recorder) Helper() {}

// Context implements T.
func (r *recorder) Context() context.Context { return r.ctx }

// Logf implements T; what passes needs no words.
func (*recorder) Logf(string, ...any) {}

// Cleanup implements T.
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

func (r *recorder) cleanUp() {
	for len(r.cleanups) > 0 {
		last := len(r.cleanups) - 1
		f := r.cleanups[last]
		r.cleanups = r.cleanups[:last]
		f()
	}
}

func (r *recorder) add(problem string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problems = append(r.problems, problem)
}

// Error implements T.
func (r *recorder) Error(args ...any) { r.add(fmt.Sprint(args...)) }

// Errorf implements T.
func (r *recorder) Errorf(format string, args ...any) { r.add(fmt.Sprintf(format, args...)) }

// Fatal implements T.
func (r *recorder) Fatal(args ...any) {
	r.Error(args...)
	runtime.Goexit()
}

// Fatalf implements T.
func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

var _ T = (*recorder)(nil)
