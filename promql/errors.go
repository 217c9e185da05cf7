package promql

import (
	"context"
	"errors"
	"fmt"

	"github.com/narthex-io/narthex/promql/exec"
)

// Conditions under which a query ends without a result. They come wrapped: test with errors.Is.
var (
	// ErrTimeout: the query ran longer than it may.
	ErrTimeout = errors.New("query timed out")
	// ErrCanceled: the caller gave up, or [Engine.Cancel] was called.
	ErrCanceled = errors.New("query was canceled")
	// ErrTooManySamples: the query would hold more samples in memory than it may.
	ErrTooManySamples = exec.ErrTooManySamples
	// ErrTooMuchMemory: the query would hold more bytes in memory than it may.
	ErrTooMuchMemory = exec.ErrTooMuchMemory
)

// ParseError means that the query, or one of its parameters, makes no sense; the text is meant for its author.
type ParseError struct{ Err error }

// Error returns the reason.
func (e *ParseError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *ParseError) Unwrap() error { return e.Err }

// StorageError means that the storage failed to deliver the samples.
type StorageError struct{ Err error }

// Error returns the reason.
func (e *StorageError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *StorageError) Unwrap() error { return e.Err }

// ErrorKind sorts the errors of queries as the HTTP API does.
type ErrorKind string

// The kinds of errors, spelled as in the HTTP API.
const (
	KindNone      ErrorKind = ""
	KindBadData   ErrorKind = "bad_data"
	KindTimeout   ErrorKind = "timeout"
	KindCanceled  ErrorKind = "canceled"
	KindInternal  ErrorKind = "internal"
	KindExecution ErrorKind = "execution"
)

// KindOf returns the kind of an error that [Engine.Instant] or [Engine.Range] returned.
func KindOf(err error) ErrorKind {
	var parse *ParseError
	var storage *StorageError
	var bug *exec.PanicError
	switch {
	case err == nil:
		return KindNone
	case errors.As(err, &parse):
		return KindBadData
	case errors.Is(err, ErrTimeout):
		return KindTimeout
	case errors.Is(err, ErrCanceled):
		return KindCanceled
	case errors.As(err, &storage), errors.As(err, &bug):
		return KindInternal
	default:
		return KindExecution
	}
}

// stopped turns the end of a context into the error of a query; stage says where it was found.
func stopped(ctx context.Context, stage string) error {
	switch err := ctx.Err(); {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w in %s", ErrTimeout, stage)
	case errors.Is(context.Cause(ctx), errByOperator):
		return fmt.Errorf("%w by an operator in %s", ErrCanceled, stage)
	default:
		return fmt.Errorf("%w in %s", ErrCanceled, stage)
	}
}
