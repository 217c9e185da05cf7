package api

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/promql/parser"
)

// maxPoints is the number of steps that a range query may have: enough for a point a minute over a week, or an hour
// over a year.
const maxPoints = 11_000

func (a *api) query(r *http.Request) (*answer, error) {
	ts, err := timeParam(r, "time", a.Now(), invalid)
	if err != nil {
		return nil, err
	}
	opts, cancelled, err := a.queryOptions(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := cancelled(r)
	defer cancel()
	res, err := a.Engine.Instant(ctx, a.Storage, r.FormValue("query"), opts, ts)
	return queryAnswer(r, res, err)
}

func (a *api) queryRange(r *http.Request) (*answer, error) {
	start, err := parseTime(r.FormValue("start"))
	if err != nil {
		return nil, invalid("start", err)
	}
	end, err := parseTime(r.FormValue("end"))
	if err != nil {
		return nil, invalid("end", err)
	}
	if end.Before(start) {
		return nil, invalid("end", errors.New("end timestamp must not be before start time"))
	}
	step, err := parseDuration(r.FormValue("step"))
	if err != nil {
		return nil, invalid("step", err)
	}
	if step <= 0 {
		return nil, invalid("step", errors.New("zero or negative query resolution step widths are not accepted. Try a positive integer"))
	}
	if steps := (float64(end.UnixMilli()) - float64(start.UnixMilli())) / (step.Seconds() * 1e3); steps >= maxPoints+1 {
		return nil, badData("exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)")
	}
	opts, cancelled, err := a.queryOptions(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := cancelled(r)
	defer cancel()
	res, err := a.Engine.Range(ctx, a.Storage, r.FormValue("query"), opts, start, end, step)
	return queryAnswer(r, res, err)
}

// queryOptions reads the parameters that both kinds of queries share. The function it returns bounds the request's
// context by the timeout parameter.
func (a *api) queryOptions(r *http.Request) (promql.QueryOptions, boundContext, error) {
	var opts promql.QueryOptions
	var err error
	if opts.Limit, err = limitParam(r); err != nil {
		return opts, nil, err
	}
	bound := unbounded
	if text := r.FormValue("timeout"); text != "" {
		timeout, err := parseDuration(text)
		if err != nil {
			return opts, nil, invalid("timeout", err)
		}
		bound = boundedBy(timeout)
	}
	if text := r.FormValue("lookback_delta"); text != "" {
		if opts.LookbackDelta, err = parseDuration(text); err != nil {
			return opts, nil, badData("error parsing lookback delta duration: %w", err)
		}
	}
	opts.PerStepStats = r.FormValue("stats") == "all"
	return opts, bound, nil
}

func queryAnswer(r *http.Request, res *promql.Result, err error) (*answer, error) {
	if err != nil {
		return nil, queryError(err)
	}
	stats, warnings := r.FormValue("stats"), res.Warnings
	if stats != "" && stats != "true" && stats != "all" {
		warnings = append(warnings, fmt.Sprintf(`value %q for parameter "stats" is deprecated and will be rejected in the next major release, use "true" or "all"`, stats))
	}
	return &answer{warnings: warnings, infos: res.Infos, write: func(e *encoder) {
		e.value(res.Value)
		if stats != "" {
			e.raw(`,"stats":`)
			e.json(statsOf(&res.Stats))
		}
		e.raw("}")
		res.Release()
	}}, nil
}

func queryError(err error) error {
	switch promql.KindOf(err) {
	case promql.KindBadData:
		return invalid("query", err)
	case promql.KindTimeout:
		return &apiError{typeTimeout, err}
	case promql.KindCanceled:
		return &apiError{typeCanceled, err}
	case promql.KindInternal:
		return &apiError{typeInternal, err}
	default:
		return &apiError{typeExecution, err}
	}
}

type queryStats struct {
	Timings struct {
		EvalTotalTime        float64 `json:"evalTotalTime"`
		ResultSortTime       float64 `json:"resultSortTime"`
		QueryPreparationTime float64 `json:"queryPreparationTime"`
		InnerEvalTime        float64 `json:"innerEvalTime"`
		ExecQueueTime        float64 `json:"execQueueTime"`
		ExecTotalTime        float64 `json:"execTotalTime"`
	} `json:"timings"`
	Samples struct {
		TotalQueryableSamplesPerStep [][2]float64 `json:"totalQueryableSamplesPerStep,omitempty"`
		TotalQueryableSamples        int64        `json:"totalQueryableSamples"`
		PeakSamples                  int64        `json:"peakSamples"`
		SamplesRead                  int64        `json:"samplesRead"`
	} `json:"samples"`
}

func statsOf(s *promql.Stats) *queryStats {
	var q queryStats
	q.Timings.EvalTotalTime = s.Timings.EvalTotal.Seconds()
	q.Timings.ResultSortTime = s.Timings.ResultSort.Seconds()
	q.Timings.QueryPreparationTime = s.Timings.QueryPreparation.Seconds()
	q.Timings.InnerEvalTime = s.Timings.InnerEval.Seconds()
	q.Timings.ExecQueueTime = s.Timings.ExecQueue.Seconds()
	q.Timings.ExecTotalTime = s.Timings.ExecTotal.Seconds()
	q.Samples.TotalQueryableSamples = s.Samples.TotalQueryable
	q.Samples.PeakSamples = s.Samples.Peak
	q.Samples.SamplesRead = s.Samples.Read
	for _, p := range s.Samples.PerStep {
		q.Samples.TotalQueryableSamplesPerStep = append(q.Samples.TotalQueryableSamplesPerStep,
			[2]float64{float64(p.T) / float64(time.Second/time.Millisecond), float64(p.Count)})
	}
	return &q
}

func (a *api) formatQuery(r *http.Request) (*answer, error) {
	expr, err := a.Parser.ParseExpr(r.FormValue("query"))
	if err != nil {
		return nil, invalid("query", err)
	}
	return &answer{data: parser.Pretty(expr)}, nil
}
