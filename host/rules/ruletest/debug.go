package ruletest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql"
)

// debugf tells the debug output, if there is one, about a test.
func (o *Options) debugf(format string, args ...any) {
	if o.Debug != nil {
		fmt.Fprintf(o.Debug, "DEBUG: "+format+"\n", args...)
	}
}

// dump shows all samples that the input series and the rules have come to, in the way of upstream's tool.
func (r *run) dump(ctx context.Context) {
	if r.opts.Debug == nil {
		return
	}
	until := (r.end() + time.Second).Truncate(time.Second) // Whole seconds are what PromQL can say.
	expr := fmt.Sprintf(`{__name__=~".+"}[%v]`, until)
	res, err := r.engine.Instant(ctx, r.store, expr, promql.QueryOptions{}, r.start.Add(until))
	if err != nil {
		r.opts.debugf("Failed query exec, expr: %q, err: %v", expr, err)
		return
	}
	found, _ := res.Value.(promql.Matrix)
	slices.SortFunc(found, func(a, b promql.Series) int { return labels.Compare(a.Labels, b.Labels) })
	r.opts.debugf("Dump of all data (input_series and rules) at %v:", until)
	for _, s := range found {
		fmt.Fprintf(r.opts.Debug, "%s =>\n", s.Labels)
		for _, p := range s.Points.All() {
			text := strconv.FormatFloat(p.F, 'f', -1, 64)
			if p.H != nil {
				text = p.H.String()
			}
			fmt.Fprintf(r.opts.Debug, "%s @[%d]\n", text, p.T)
		}
	}
}
