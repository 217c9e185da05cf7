package exec

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/plan"
)

// labelReplace sets a label from a regular expression over another.
func (q *query) labelReplace(ctx context.Context, n *plan.Call, g plan.Grid) (operator, error) {
	args, err := stringArgs(n.Args[1:])
	if err != nil {
		return nil, err
	}
	dst, replacement, src, expr := args[0], args[1], args[2], args[3]
	re, err := regexp.Compile("^(?s:" + expr + ")$")
	if err != nil {
		return nil, fmt.Errorf("invalid regular expression in label_replace(): %s", expr)
	}
	if !validLabelName(dst) {
		return nil, fmt.Errorf("invalid destination label name in label_replace(): %s", dst)
	}
	op, err := q.build(ctx, n.Args[0], g)
	if err != nil {
		return nil, err
	}
	// Fast path: series that follow each other often have the same value.
	var last, text string
	matched, begun := false, false
	return q.relabel(ctx, op, dst, func(ls labels.Labels) (string, bool) {
		value := ls.Get(src)
		if begun && value == last {
			return text, matched
		}
		match := re.FindStringSubmatchIndex(value)
		last, text, matched, begun = value, "", match != nil, true
		if matched {
			text = string(re.ExpandString(nil, replacement, value, match))
		}
		return text, matched
	})
}

// labelJoin sets a label to the values of others.
func (q *query) labelJoin(ctx context.Context, n *plan.Call, g plan.Grid) (operator, error) {
	args, err := stringArgs(n.Args[1:])
	if err != nil {
		return nil, err
	}
	dst, separator, sources := args[0], args[1], args[2:]
	for _, src := range sources {
		if !validLabelName(src) {
			return nil, fmt.Errorf("invalid source label name in label_join(): %s", src)
		}
	}
	if !validLabelName(dst) {
		return nil, fmt.Errorf("invalid destination label name in label_join(): %s", dst)
	}
	op, err := q.build(ctx, n.Args[0], g)
	if err != nil {
		return nil, err
	}
	return q.relabel(ctx, op, dst, func(ls labels.Labels) (string, bool) {
		values := make([]string, len(sources))
		for i, src := range sources {
			values[i] = ls.Get(src)
		}
		return strings.Join(values, separator), true
	})
}

// relabel sets the label dst of all series to what value returns, unless that reports false. A metric name that was
// set this way stays.
func (q *query) relabel(ctx context.Context, op operator, dst string, value func(labels.Labels) (string, bool)) (operator, error) {
	in := op.series()
	out, pace := make([]series, len(in)), q.pace(ctx)
	b := labels.NewBuilder(labels.EmptyLabels())
	for i, s := range in {
		out[i] = s
		v, ok := value(s.labels)
		if !ok {
			if err := pace(seriesHeader); err != nil {
				return nil, err
			}
			continue
		}
		b.Reset(s.labels)
		out[i].labels = b.Set(dst, v).Labels()
		out[i].dropName = s.dropName && dst != labels.MetricName
		if err := pace(madeOf(labels.EmptyLabels(), out[i].labels)); err != nil {
			return nil, err
		}
	}
	op, err := q.merge(ctx, op, out)
	if err != nil {
		return nil, err
	}
	return op, q.settleIfMerged(ctx, op, out)
}

func stringArgs(nodes []plan.Node) ([]string, error) {
	args := make([]string, len(nodes))
	for i, n := range nodes {
		var err error
		if args[i], err = stringArg(n); err != nil {
			return nil, err
		}
	}
	return args, nil
}

// validLabelName reports whether a string can name a label.
func validLabelName(name string) bool { return name != "" && utf8.ValidString(name) }
