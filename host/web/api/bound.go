package api

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// boundContext returns the context under which a request's query runs.
type boundContext func(r *http.Request) (context.Context, context.CancelFunc)

func unbounded(r *http.Request) (context.Context, context.CancelFunc) { return r.Context(), func() {} }

func boundedBy(timeout time.Duration) boundContext {
	return func(r *http.Request) (context.Context, context.CancelFunc) {
		return context.WithTimeout(r.Context(), timeout)
	}
}

// timeoutParam returns what bounds a request's context by the parameter timeout.
func timeoutParam(r *http.Request) (boundContext, error) {
	text := r.FormValue("timeout")
	if text == "" {
		return unbounded, nil
	}
	timeout, err := parseDuration(text)
	if err != nil {
		return nil, invalid("timeout", err)
	}
	return boundedBy(timeout), nil
}

// inTime gives a handler that the engine does not watch over the time that a query may take.
func (a *api) inTime(h handler) handler { return bounded{a, h}.serve }

// bounded is a handler that ends after that time.
type bounded struct {
	api     *api
	handler handler
}

func (b bounded) serve(r *http.Request) (*answer, error) {
	bound, err := timeoutParam(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := bound(r)
	defer cancel()
	ctx, cancelTimeout := context.WithTimeout(ctx, b.api.Engine.Timeout())
	defer cancelTimeout()
	ans, err := b.handler(r.WithContext(ctx))
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, &apiError{typeTimeout, errors.New("the request took longer than it may")}
	}
	return ans, err
}
