package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/narthex-io/narthex/host/web/access"
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
	if r.FormValue("explain") != "" {
		return a.explain(ctx, r, opts, ts, ts, 0)
	}
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
	if r.FormValue("explain") != "" {
		return a.explain(ctx, r, opts, start, end, step)
	}
	res, err := a.Engine.Range(ctx, a.Storage, r.FormValue("query"), opts, start, end, step)
	return queryAnswer(r, res, err)
}

// explain answers how a query is evaluated in place of its result.
func (a *api) explain(ctx context.Context, r *http.Request, opts promql.QueryOptions, start, end time.Time, step time.Duration) (*answer, error) {
	mode := r.FormValue("explain")
	if mode != "plan" && mode != "analyze" {
		return nil, invalid("explain", fmt.Errorf("%q is neither \"plan\" nor \"analyze\"", mode))
	}
	x, err := a.Engine.Explain(ctx, a.Storage, r.FormValue("query"), opts, start, end, step, mode == "analyze")
	if err != nil {
		return nil, queryError(err)
	}
	return &answer{data: x, warnings: x.Warnings, infos: x.Infos}, nil
}

// queryOptions reads the parameters that both kinds of queries share. The function it returns bounds the request's
// context by the timeout parameter.
func (a *api) queryOptions(r *http.Request) (promql.QueryOptions, boundContext, error) {
	var opts promql.QueryOptions
	var err error
	if opts.Limit, err = limitParam(r); err != nil {
		return opts, nil, err
	}
	bound, err := timeoutParam(r)
	if err != nil {
		return opts, nil, err
	}
	if text := r.FormValue("lookback_delta"); text != "" {
		if opts.LookbackDelta, err = parseDuration(text); err != nil {
			return opts, nil, badData("error parsing lookback delta duration: %w", err)
		}
	}
	opts.PerStepStats = r.FormValue("stats") == "all"
	opts.Origin = originOf(r)
	return opts, bound, nil
}

// originOf says who asks, as the query log has it.
func originOf(r *http.Request) promql.Origin {
	ip, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		ip = r.RemoteAddr
	}
	path, _, _ := strings.Cut(r.RequestURI, "?") // As it was before prefixes were stripped.
	return promql.Origin{Request: &promql.RequestOrigin{ClientIP: ip, Method: r.Method, Path: path, User: access.User(r.Context())}}
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
			e.json(res.Stats)
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

func (a *api) formatQuery(r *http.Request) (*answer, error) {
	ended := r.Context().Err
	expr, err := a.Parser.Unless(ended).ParseExpr(r.FormValue("query"))
	if err != nil {
		return nil, invalid("query", err)
	}
	text, err := parser.PrettyUnless(ended, expr)
	if err != nil {
		return nil, invalid("query", err)
	}
	return &answer{data: text}, nil
}
