package api

import (
	"context"
	"net/http"
	"time"
)

// boundContext returns the context under which a request's query runs.
type boundContext func(r *http.Request) (context.Context, context.CancelFunc)

func unbounded(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithCancel(r.Context())
}

func boundedBy(timeout time.Duration) boundContext {
	return func(r *http.Request) (context.Context, context.CancelFunc) {
		return context.WithTimeout(r.Context(), timeout)
	}
}
