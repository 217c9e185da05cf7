package exec

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/promql/plan"
)

// Annotations collects the warnings and infos of a query. The zero value is ready to use, by several goroutines.
type Annotations struct {
	mu              sync.Mutex
	warnings, infos map[string]*note
	// usage, if not nil, is where the memory of texts counts.
	usage *Usage
}

// noteBytes is about what an annotation costs besides its text.
const noteBytes = 128

// spot is what an annotation points to: the place that it names, and the node of the plan that speaks.
type spot struct{ at, node parser.PositionRange }

func spotOf(n plan.Node, at parser.PositionRange) spot { return spot{at, n.Pos()} }

// after reports whether a node is evaluated after another one: later ones end later, outer ones last.
func (s spot) after(o spot) bool {
	if s.node.End != o.node.End {
		return s.node.End > o.node.End
	}
	return s.node.Start <= o.node.Start
}

// note is where a text comes from. A text that comes from several places is told once.
type note struct {
	spot
	*forced
	// times is how many times it was given, if the text is to tell that.
	times int
}

// forced sums up the corrections of one histogram_quantile.
type forced struct {
	minT, maxT                    int64
	minBucket, maxBucket, maxDiff float64
	count                         int
}

func (a *Annotations) warn(at spot, text string) { a.add(&a.warnings, text, note{spot: at}) }
func (a *Annotations) info(at spot, text string) { a.add(&a.infos, text, note{spot: at}) }

// warnTimes is warn for a text that tells how many times it was given.
func (a *Annotations) warnTimes(at spot, text string, times int) {
	a.add(&a.warnings, text, note{spot: at, times: times})
}

func (a *Annotations) warnf(at spot, format string, args ...any) {
	a.warn(at, fmt.Sprintf(format, args...))
}

func (a *Annotations) infof(at spot, format string, args ...any) {
	a.info(at, fmt.Sprintf(format, args...))
}

func (a *Annotations) add(to *map[string]*note, text string, n note) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if *to == nil {
		*to = map[string]*note{}
	}
	old := (*to)[text]
	if old == nil {
		(*to)[text] = &n
		if a.usage != nil {
			a.usage.addBytes(int64(len(text)) + noteBytes)
		}
		return
	}
	// What is counted or summed up keeps its first place, everything else its last.
	if counted := n.times > 0 || n.forced != nil; n.after(old.spot) != counted {
		old.spot = n.spot
	}
	old.times += n.times
	if old.forced != nil && n.forced != nil {
		old.join(n.forced)
	}
}

func (f *forced) join(o *forced) {
	f.minT, f.maxT = min(f.minT, o.minT), max(f.maxT, o.maxT)
	f.minBucket, f.maxBucket = min(f.minBucket, o.minBucket), max(f.maxBucket, o.maxBucket)
	f.maxDiff = max(f.maxDiff, o.maxDiff)
	f.count += o.count
}

// Warnings returns the warnings, sorted, with their places in the query.
func (a *Annotations) Warnings(query string) []string {
	return texts("PromQL warning: ", a.warnings, query)
}

// Infos returns the infos, sorted, with their places in the query.
func (a *Annotations) Infos(query string) []string { return texts("PromQL info: ", a.infos, query) }

func texts(prefix string, notes map[string]*note, query string) []string {
	all, place := make([]string, 0, len(notes)), placesIn(query)
	for text, n := range notes {
		if n.forced != nil {
			text += n.String()
		}
		if n.times > 1 {
			text += fmt.Sprintf(" (%d occurrences)", n.times)
		}
		all = append(all, prefix+text+" ("+place(n.at.Start)+")")
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

// placesIn returns a function that returns line:column of a byte offset, both counted from one.
func placesIn(query string) func(offset int) string {
	lines := []int{0}
	for i := range len(query) {
		if query[i] == '\n' {
			lines = append(lines, i+1)
		}
	}
	return func(offset int) string {
		if offset < 0 || offset > len(query) {
			return "invalid position"
		}
		line, found := slices.BinarySearch(lines, offset)
		if !found {
			line--
		}
		return fmt.Sprintf("%d:%d", line+1, offset-lines[line]+1)
	}
}

// forMetric appends the metric name to a text, if there is one.
func forMetric(text, name string) string {
	if name == "" {
		return text
	}
	return fmt.Sprintf("%s for metric name %q", text, name)
}
