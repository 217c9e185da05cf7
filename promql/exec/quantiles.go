package exec

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/plan"
)

// severalQuantiles yields several quantiles of each histogram, with the quantile in a label.
type severalQuantiles struct {
	// each has one operator for each value that a quantile takes, over the same histograms.
	each []*overBuckets
	// masks tell at which steps the value is asked for.
	masks [][]bool
	// twice tells at which steps it is asked for twice, and is empty where it never is.
	twice [][]bool
	out   []series
}

// quantiles makes the operator of histogram_quantiles. The arguments are the quantiles at all steps; as they may
// change from step to step, there is a series for each value that occurs.
func (q *query) quantiles(ctx context.Context, o *overBuckets, n *plan.Call, args [][]float64) (operator, error) {
	label, err := stringArg(n.Args[1])
	if err != nil {
		return nil, err
	}
	s := &severalQuantiles{}
	var names []string
	for i, phi := range args {
		if err := q.noteQuantiles(ctx, phi, spotOf(n, n.ArgPos[i+2])); err != nil {
			return nil, err
		}
		ended := ending(ctx)
		for step, v := range phi {
			if err := ended(); err != nil {
				return nil, err
			}
			name := openMetricsFloat(v)
			k := slices.Index(names, name)
			if k < 0 {
				k = len(names)
				names = append(names, name)
				one := *o
				all, err := repeated(ctx, v, o.g.N)
				if err != nil {
					return nil, err
				}
				one.quantile(all)
				s.each, s.masks, s.twice = append(s.each, &one), append(s.masks, make([]bool, o.g.N)), append(s.twice, nil)
				if err := q.holdBytes(9 * int64(o.g.N)); err != nil {
					return nil, err
				}
			}
			if s.masks[k][step] {
				if err := s.again(q, k, step); err != nil {
					return nil, err
				}
			}
			s.masks[k][step] = true
		}
	}
	without, err := q.dropNames(ctx, o.out)
	if err != nil {
		return nil, err
	}
	pace := q.pace(ctx)
	for _, name := range names {
		for _, in := range without {
			in.labels = labels.NewBuilder(in.labels).Set(label, name).Labels()
			s.out = append(s.out, in)
			if err := pace(madeOf(labels.EmptyLabels(), in.labels)); err != nil {
				return nil, err
			}
		}
	}
	return q.merge(ctx, s, s.out)
}

// again notes that the k-th value is asked for once more at a step.
func (s *severalQuantiles) again(q *query, k, step int) error {
	if s.twice[k] == nil {
		if err := q.holdBytes(int64(len(s.masks[k]))); err != nil {
			return err
		}
		s.twice[k] = make([]bool, len(s.masks[k]))
	}
	s.twice[k][step] = true
	return nil
}

// openMetricsFloat formats a float so that it is seen to be one.
func openMetricsFloat(v float64) string {
	text := strconv.FormatFloat(v, 'g', -1, 64)
	if strings.Trim(text, "-0123456789") == "" {
		text += ".0"
	}
	return text
}

func (s *severalQuantiles) series() []series { return s.out }

func (s *severalQuantiles) row(ctx context.Context, w *worker, i int, dst *row) error {
	n := len(s.each[0].out)
	k := i / n
	if err := s.each[k].row(ctx, w, i%n, dst); err != nil {
		return err
	}
	for step, wanted := range s.masks[k] {
		if !wanted {
			dst.drop(step)
		}
	}
	for step, twice := range s.twice[k] {
		if twice && !isAbsent(dst.F[step]) {
			return errSameLabels
		}
	}
	return nil
}
