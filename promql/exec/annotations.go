package exec

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/narthex-io/narthex/promql/parser"
)

// Annotations collect what is to be said about a result. The zero value is ready to use, by several goroutines.
type Annotations struct {
	mu              sync.Mutex
	warnings, infos map[note]*forced
}

// note is a text with its place in the query.
type note struct {
	text string
	at   parser.PositionRange
}

// forced sums up the corrections of one histogram_quantile.
type forced struct {
	minT, maxT                    int64
	minBucket, maxBucket, maxDiff float64
	count                         int
}

func (a *Annotations) warn(at parser.PositionRange, text string) {
	a.add(&a.warnings, note{text, at}, nil)
}
func (a *Annotations) info(at parser.PositionRange, text string) {
	a.add(&a.infos, note{text, at}, nil)
}

func (a *Annotations) warnf(at parser.PositionRange, format string, args ...any) {
	a.warn(at, fmt.Sprintf(format, args...))
}

func (a *Annotations) infof(at parser.PositionRange, format string, args ...any) {
	a.info(at, fmt.Sprintf(format, args...))
}

func (a *Annotations) add(to *map[note]*forced, n note, f *forced) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if *to == nil {
		*to = map[note]*forced{}
	}
	old := (*to)[n]
	if old == nil || f == nil {
		(*to)[n] = f
		return
	}
	old.minT, old.maxT = min(old.minT, f.minT), max(old.maxT, f.maxT)
	old.minBucket, old.maxBucket = min(old.minBucket, f.minBucket), max(old.maxBucket, f.maxBucket)
	old.maxDiff = max(old.maxDiff, f.maxDiff)
	old.count += f.count
}

// Warnings returns the warnings, sorted, with their places in the query.
func (a *Annotations) Warnings(query string) []string {
	return texts("PromQL warning: ", a.warnings, query)
}

// Infos returns the infos, sorted, with their places in the query.
func (a *Annotations) Infos(query string) []string { return texts("PromQL info: ", a.infos, query) }

func texts(prefix string, notes map[note]*forced, query string) []string {
	all := make([]string, 0, len(notes))
	for n, f := range notes {
		text := prefix + n.text
		if f != nil {
			text += f.String()
		}
		all = append(all, text+" ("+place(query, n.at.Start)+")")
	}
	slices.Sort(all)
	return all
}

// String returns the end of the annotation's text.
func (f *forced) String() string {
	date := func(t int64) string { return time.UnixMilli(t).UTC().Format(time.RFC3339) }
	return fmt.Sprintf(", from buckets %g to %g, with a max diff of %.2g, over %d samples from %s to %s",
		f.minBucket, f.maxBucket, f.maxDiff, f.count, date(f.minT), date(f.maxT))
}

// place returns line:column of a byte offset, both counted from one.
func place(query string, offset int) string {
	if offset < 0 || offset > len(query) {
		return "invalid position"
	}
	before := query[:offset]
	return fmt.Sprintf("%d:%d", strings.Count(before, "\n")+1, offset-strings.LastIndexByte(before, '\n'))
}

// forMetric appends the metric name to a text, if there is one.
func forMetric(text, name string) string {
	if name == "" {
		return text
	}
	return fmt.Sprintf("%s for metric name %q", text, name)
}
