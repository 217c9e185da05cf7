package api

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"

	"github.com/narthex-io/narthex/model/labels"
)

// Admin is what the administration endpoints do to the storage. All of it is durable when the call returns.
type Admin interface {
	// Delete deletes the samples in [mint, maxt], in milliseconds, of the series that all matchers select.
	Delete(ctx context.Context, mint, maxt int64, matchers ...*labels.Matcher) error
	// CleanTombstones frees the space of deleted samples.
	CleanTombstones(ctx context.Context) error
	// Snapshot makes a snapshot of the given name, with the samples in memory or without.
	Snapshot(ctx context.Context, name string, withHead bool) error
}

// admin refuses a request unless the endpoints of administration are enabled.
func (a *api) admin(h handler) handler {
	return func(r *http.Request) (*answer, error) {
		if a.Admin == nil {
			return nil, &apiError{typeUnavailable, errors.New("admin APIs disabled")}
		}
		return h(r)
	}
}

func (a *api) deleteSeries(r *http.Request) (*answer, error) {
	if len(r.Form["match[]"]) == 0 {
		return nil, badData("no match[] parameter provided")
	}
	start, end, err := rangeParams(r, invalid)
	if err != nil {
		return nil, err
	}
	sets, err := a.matcherParams(r, invalid)
	if err != nil {
		return nil, err
	}
	for _, matchers := range sets {
		if err := a.Admin.Delete(r.Context(), start.UnixMilli(), end.UnixMilli(), matchers...); err != nil {
			return nil, &apiError{typeInternal, err}
		}
	}
	return &answer{empty: true}, nil
}

func (a *api) cleanTombstones(r *http.Request) (*answer, error) {
	if err := a.Admin.CleanTombstones(r.Context()); err != nil {
		return nil, &apiError{typeInternal, err}
	}
	return &answer{empty: true}, nil
}

func (a *api) snapshot(r *http.Request) (*answer, error) {
	skipHead := false
	if text := r.FormValue("skip_head"); text != "" {
		var err error
		if skipHead, err = strconv.ParseBool(text); err != nil {
			return nil, invalid("skip_head", fmt.Errorf("unable to parse boolean: %w", err))
		}
	}
	// The name is upstream's: it sorts by time.
	name := fmt.Sprintf("%s-%016x", a.Now().UTC().Format("20060102T150405Z0700"), rand.Int64())
	if err := a.Admin.Snapshot(r.Context(), name, !skipHead); err != nil {
		return nil, &apiError{typeInternal, err}
	}
	return &answer{data: map[string]string{"name": name}}, nil
}
