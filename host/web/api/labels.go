package api

import (
	"context"
	"errors"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/common/model"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
)

const truncated = "results truncated due to limit"

// question is a question about labels, read from a request.
type question struct {
	start, end time.Time
	sets       [][]*labels.Matcher
	limit      int
}

// ask reads the parameters that all questions about labels share.
func (a *api) ask(r *http.Request, times, matchers blame) (q question, err error) {
	if q.limit, err = limitParam(r); err != nil {
		return q, err
	}
	if q.start, q.end, err = rangeParams(r, times); err != nil {
		return q, err
	}
	q.sets, err = a.matcherParams(r, matchers)
	return q, err
}

// backwards reports whether the range ends before it starts.
func (q *question) backwards() bool { return q.end.Before(q.start) }

// withQuerier answers a question from a snapshot.
func (a *api) withQuerier(q question, answered func(storage.Querier) (*answer, error)) (ans *answer, err error) {
	querier, err := a.Storage.Querier(q.start.UnixMilli(), q.end.UnixMilli())
	if err != nil {
		return nil, &apiError{typeInternal, err}
	}
	defer func() {
		if closeErr := querier.Close(); err == nil && closeErr != nil {
			ans, err = nil, &apiError{typeInternal, closeErr}
		}
	}()
	return answered(querier)
}

func (a *api) labelNames(r *http.Request) (*answer, error) {
	q, err := a.ask(r, invalid, byText)
	if err != nil {
		return nil, err
	}
	if q.backwards() {
		return &answer{data: []string{}}, nil
	}
	return a.withQuerier(q, func(querier storage.Querier) (*answer, error) {
		return q.union(func(ms []*labels.Matcher) ([]string, storage.Warnings, error) {
			return querier.LabelNames(r.Context(), storage.LabelHints{Limit: hint(q.limit)}, ms...)
		})
	})
}

func (a *api) labelValues(r *http.Request) (*answer, error) {
	name := r.PathValue("name")
	if strings.HasPrefix(name, "U__") {
		name = model.UnescapeName(name, model.ValueEncodingEscaping)
	}
	if name == "" || !utf8.ValidString(name) {
		return nil, badData("invalid label name: %q", name)
	}
	q, err := a.ask(r, invalid, byText)
	if err != nil {
		return nil, err
	}
	if q.backwards() {
		return &answer{data: []string{}}, nil
	}
	return a.withQuerier(q, func(querier storage.Querier) (*answer, error) {
		return q.union(func(ms []*labels.Matcher) ([]string, storage.Warnings, error) {
			return querier.LabelValues(r.Context(), name, storage.LabelHints{Limit: hint(q.limit)}, ms...)
		})
	})
}

// hint asks the storage for one answer more than wanted, to see whether there are more.
func hint(limit int) int {
	if limit == 0 || limit == math.MaxInt {
		return 0
	}
	return limit + 1
}

// union merges the answers for each set of matchers; no set at all asks once, for everything.
func (q *question) union(ask func(ms []*labels.Matcher) ([]string, storage.Warnings, error)) (*answer, error) {
	sets, limit := q.sets, q.limit
	if len(sets) == 0 {
		sets = [][]*labels.Matcher{nil}
	}
	ans := &answer{}
	all := []string{}
	for _, ms := range sets {
		found, warnings, err := ask(ms)
		if err != nil {
			return nil, &apiError{typeExecution, err}
		}
		all = append(all, found...)
		ans.warn(warnings)
	}
	if len(sets) > 1 {
		slices.Sort(all)
		all = slices.Compact(all)
	}
	if limit > 0 && len(all) > limit {
		all = all[:limit]
		ans.warnings = append(ans.warnings, truncated)
	}
	ans.data = all
	return ans, nil
}

func (ans *answer) warn(ws storage.Warnings) {
	for _, w := range ws {
		if !slices.Contains(ans.warnings, w.Error()) {
			ans.warnings = append(ans.warnings, w.Error())
		}
	}
}

func (a *api) series(r *http.Request) (*answer, error) {
	if len(r.Form["match[]"]) == 0 {
		return nil, badData("no match[] parameter provided")
	}
	q, err := a.ask(r, invalid, invalid)
	if err != nil {
		return nil, err
	}
	if q.backwards() {
		return &answer{data: []string{}}, nil
	}
	sets, limit := q.sets, q.limit
	return a.withQuerier(q, func(querier storage.Querier) (*answer, error) {
		ans := &answer{}
		var all []labels.Labels
		for _, ms := range sets {
			set := querier.Select(r.Context(), true, &storage.SelectHints{
				Start: minTime.UnixMilli(), End: maxTime.UnixMilli(), Limit: hint(limit), SeriesOnly: true,
			}, ms...)
			for set.Next() && (limit == 0 || len(all) <= limit) {
				all = append(all, set.At().Labels())
			}
			if err := set.Err(); err != nil {
				return nil, seriesError(err)
			}
			ans.warn(set.Warnings())
		}
		if len(sets) > 1 {
			slices.SortFunc(all, labels.Compare)
			all = slices.CompactFunc(all, labels.Equal)
		}
		if limit > 0 && len(all) > limit {
			all = all[:limit]
			ans.warnings = append(ans.warnings, truncated)
		}
		ans.write = func(e *encoder) { e.labelSets(all) }
		return ans, nil
	})
}

func seriesError(err error) error {
	if errors.Is(err, context.Canceled) {
		return &apiError{typeCanceled, err}
	}
	return &apiError{typeExecution, err}
}

func (e *encoder) labelSets(sets []labels.Labels) {
	e.raw("[")
	for i, ls := range sets {
		if i > 0 {
			e.raw(",")
		}
		e.labels(ls)
		e.write()
	}
	e.raw("]")
}
