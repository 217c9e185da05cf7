package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/common/model"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
)

const truncated = "results truncated due to limit"

// withQuerier answers a question about labels from a snapshot.
func (a *api) withQuerier(r *http.Request, ask func(ctx context.Context, q storage.Querier, sets [][]*labels.Matcher, limit int) (*answer, error)) (ans *answer, err error) {
	limit, err := limitParam(r)
	if err != nil {
		return nil, err
	}
	start, end, err := rangeParams(r)
	if err != nil {
		return nil, err
	}
	sets, err := a.matcherParams(r)
	if err != nil {
		return nil, err
	}
	q, err := a.Storage.Querier(start, end)
	if err != nil {
		return nil, &apiError{typeInternal, err}
	}
	defer func() {
		if closeErr := q.Close(); err == nil && closeErr != nil {
			ans, err = nil, &apiError{typeInternal, closeErr}
		}
	}()
	return ask(r.Context(), q, sets, limit)
}

func (a *api) labelNames(r *http.Request) (*answer, error) {
	return a.withQuerier(r, func(ctx context.Context, q storage.Querier, sets [][]*labels.Matcher, limit int) (*answer, error) {
		return union(sets, limit, func(ms []*labels.Matcher) ([]string, storage.Warnings, error) {
			return q.LabelNames(ctx, storage.LabelHints{Limit: hint(limit)}, ms...)
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
	return a.withQuerier(r, func(ctx context.Context, q storage.Querier, sets [][]*labels.Matcher, limit int) (*answer, error) {
		return union(sets, limit, func(ms []*labels.Matcher) ([]string, storage.Warnings, error) {
			return q.LabelValues(ctx, name, storage.LabelHints{Limit: hint(limit)}, ms...)
		})
	})
}

// hint asks the storage for one answer more than wanted, to see whether there are more.
func hint(limit int) int {
	if limit > 0 {
		return limit + 1
	}
	return 0
}

// union merges the answers for each set of matchers; no set at all asks once, for everything.
func union(sets [][]*labels.Matcher, limit int, ask func(ms []*labels.Matcher) ([]string, storage.Warnings, error)) (*answer, error) {
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
	return a.withQuerier(r, func(ctx context.Context, q storage.Querier, sets [][]*labels.Matcher, limit int) (*answer, error) {
		ans := &answer{}
		var all []labels.Labels
		for _, ms := range sets {
			set := q.Select(ctx, true, &storage.SelectHints{
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
