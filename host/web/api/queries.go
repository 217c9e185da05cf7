package api

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/narthex-io/narthex/promql"
)

// ActiveQuery is a query that runs or waits, as /status/queries shows it.
type ActiveQuery struct {
	// ID is a number, as text since JSON's numbers are not exact everywhere.
	ID string `json:"id"`
	// State is running or waiting.
	State string    `json:"state"`
	Query string    `json:"query"`
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
	// StepSeconds is zero for an instant query.
	StepSeconds float64   `json:"stepSeconds"`
	Since       time.Time `json:"since"`
	// Seconds is how long the query has been there.
	Seconds float64 `json:"seconds"`
	// Samples and Bytes are in memory now; SamplesRead have come from storage so far.
	Samples     int64 `json:"samples"`
	Bytes       int64 `json:"bytes"`
	SamplesRead int64 `json:"samplesRead"`
	promql.Origin
}

// ActiveQueries is the answer of /status/queries.
type ActiveQueries struct {
	Queries []ActiveQuery `json:"queries"`
}

func (a *api) statusQueries(*http.Request) (*answer, error) {
	list := ActiveQueries{Queries: []ActiveQuery{}}
	now := a.Now()
	for _, q := range a.Engine.Active() {
		shown := ActiveQuery{
			ID: strconv.FormatUint(q.ID, 10), State: "waiting", Query: q.Query,
			Start: q.Start.UTC(), End: q.End.UTC(), StepSeconds: q.Step.Seconds(),
			Since: q.Since.UTC(), Seconds: now.Sub(q.Since).Seconds(),
			Samples: q.Samples, Bytes: q.Bytes, SamplesRead: q.SamplesRead, Origin: q.Origin,
		}
		if q.Running {
			shown.State = "running"
		}
		list.Queries = append(list.Queries, shown)
	}
	return &answer{data: list}, nil
}

func (a *api) cancelQuery(r *http.Request) (*answer, error) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	if err != nil {
		return nil, badData("%q is no ID of a query: see /api/v1/status/queries", r.PathValue("id"))
	}
	if !a.Engine.Cancel(id) {
		return nil, &apiError{typeNotFound, fmt.Errorf("no query with ID %d runs or waits", id)}
	}
	return &answer{empty: true}, nil
}
