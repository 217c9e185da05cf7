package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/narthex-io/narthex/host/apiclient"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/storage"
)

// Remote is a server as a source: this one, Prometheus, or whatever else answers /api/v1/query and /api/v1/query_range. It
// does not see overlays.
type Remote struct {
	URL    *url.URL
	Client *http.Client
}

// Overlays is false.
func (*Remote) Overlays() bool { return false }

// errHistograms: histograms lose their schema in the API's JSON.
var errHistograms = errors.New("the result has native histograms, which the HTTP API does not transfer in full: use a data directory as the source")

// Instant evaluates a query at one time.
func (r *Remote) Instant(ctx context.Context, _ storage.Queryable, query string, at time.Time) (promql.Vector, error) {
	var data struct {
		ResultType string
		Result     json.RawMessage
	}
	if err := r.ask(ctx, "query", url.Values{"query": {query}, "time": {apiclient.Unix(at)}}, &data); err != nil {
		return nil, err
	}
	switch data.ResultType {
	case "scalar":
		var p point
		if err := json.Unmarshal(data.Result, &p); err != nil {
			return nil, fmt.Errorf("decode the answer of %s: %w", r.URL.Redacted(), err)
		}
		return promql.Vector{{T: at.UnixMilli(), F: p.v}}, nil
	case "vector":
		var all []struct {
			Metric    labels.Labels
			Value     *point
			Histogram json.RawMessage
		}
		if err := json.Unmarshal(data.Result, &all); err != nil {
			return nil, fmt.Errorf("decode the answer of %s: %w", r.URL.Redacted(), err)
		}
		v := make(promql.Vector, len(all))
		for i, s := range all {
			if s.Value == nil {
				return nil, errHistograms
			}
			v[i] = promql.Sample{Labels: s.Metric, T: at.UnixMilli(), F: s.Value.v}
		}
		return v, nil
	default:
		return nil, errNoVector
	}
}

// maxPoints is how many steps a server answers in one go.
const maxPoints = 11_000

// Range evaluates a query over a range of time, in several requests if need be.
func (r *Remote) Range(ctx context.Context, _ storage.Queryable, query string, start, end time.Time, step time.Duration) (promql.Matrix, error) {
	found := map[string]int{}
	var m promql.Matrix
	for from := start; !from.After(end); from = from.Add(maxPoints * step) {
		to := from.Add((maxPoints - 1) * step)
		if to.After(end) {
			to = end
		}
		var data struct {
			Result []struct {
				Metric     labels.Labels
				Values     []point
				Histograms []json.RawMessage
			}
		}
		form := url.Values{"query": {query}, "start": {apiclient.Unix(from)}, "end": {apiclient.Unix(to)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)}}
		if err := r.ask(ctx, "query_range", form, &data); err != nil {
			return nil, err
		}
		for _, s := range data.Result {
			if len(s.Histograms) > 0 {
				return nil, errHistograms
			}
			key := string(s.Metric.AppendKey(nil))
			i, ok := found[key]
			if !ok {
				i = len(m)
				found[key] = i
				m = append(m, promql.Series{Labels: s.Metric})
			}
			for _, p := range s.Values {
				m[i].Points.Append(promql.Point{T: p.t, F: p.v})
			}
		}
	}
	slices.SortFunc(m, func(a, b promql.Series) int { return labels.Compare(a.Labels, b.Labels) })
	return m, nil
}

func (r *Remote) ask(ctx context.Context, path string, form url.Values, data any) error {
	_, err := apiclient.New(r.URL, r.Client, nil).Ask(ctx, http.MethodPost, path, form, data)
	return err
}

// point is a value as the API has it: [seconds, "value"].
type point struct {
	t int64
	v float64
}

// UnmarshalJSON decodes the pair.
func (p *point) UnmarshalJSON(text []byte) error {
	var pair [2]json.RawMessage
	if err := json.Unmarshal(text, &pair); err != nil {
		return err
	}
	seconds, err := strconv.ParseFloat(string(pair[0]), 64)
	if err != nil {
		return err
	}
	p.t = int64(math.Round(seconds * 1000))
	p.v, err = strconv.ParseFloat(strings.Trim(string(pair[1]), `"`), 64)
	return err
}
