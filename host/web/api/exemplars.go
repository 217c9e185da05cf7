package api

import (
	"net/http"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/storage"
)

// queryExemplars answers with the exemplars of all series that occur in an expression.
func (a *api) queryExemplars(r *http.Request) (*answer, error) {
	start, end, err := rangeParams(r, invalid)
	if err != nil {
		return nil, err
	}
	if end.Before(start) {
		return nil, badData("end timestamp must not be before start timestamp")
	}
	expr, err := a.Parser.Unless(r.Context().Err).ParseExpr(r.FormValue("query"))
	if err != nil {
		return nil, &apiError{typeBadData, err}
	}
	sets := selectors(expr)
	if len(sets) == 0 {
		return &answer{empty: true}, nil
	}
	found, err := a.Exemplars.Exemplars(r.Context(), start.UnixMilli(), end.UnixMilli(), sets...)
	if err != nil {
		return nil, seriesError(err)
	}
	return &answer{write: func(e *encoder) { e.exemplars(found) }}, nil
}

// selectors returns the matchers of all selectors in an expression.
func selectors(expr parser.Expr) (sets [][]*labels.Matcher) {
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) bool {
		if v, ok := n.(*parser.VectorSelector); ok {
			sets = append(sets, v.Matchers)
		}
		return true
	})
	return sets
}

func (e *encoder) exemplars(all []storage.SeriesExemplars) {
	e.raw("[")
	for i, s := range all {
		if i > 0 {
			e.raw(",")
		}
		e.raw(`{"seriesLabels":`)
		e.labels(s.Labels)
		e.raw(`,"exemplars":[`)
		for k, one := range s.Exemplars {
			if k > 0 {
				e.raw(",")
			}
			e.exemplar(one)
		}
		e.raw("]}")
		e.write()
	}
	e.raw("]")
}

func (e *encoder) exemplar(one sample.Exemplar) {
	e.raw(`{"labels":`)
	e.labels(one.Labels)
	e.raw(`,"value":"`)
	e.float(one.Value)
	e.raw(`","timestamp":`)
	e.timestamp(one.T)
	e.raw("}")
}
