package scrape

import (
	"errors"
	"fmt"
	"slices"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/relabel"
)

// sampleRules say what becomes of the labels and timestamps of exposed samples. They are immutable.
type sampleRules struct {
	honorLabels, honorTimestamps, trackTimestamps bool
	legacyNames                                   bool
	relabel                                       []*relabel.Config
	labelLimit, nameLimit, valueLimit             int
}

func newSampleRules(cfg *Config) *sampleRules {
	return &sampleRules{
		honorLabels:     cfg.HonorLabels,
		honorTimestamps: cfg.HonorTimestamps,
		trackTimestamps: cfg.TrackTimestampsStaleness,
		legacyNames:     cfg.MetricNameValidationScheme == LegacyNames,
		relabel:         cfg.MetricRelabelConfigs,
		labelLimit:      int(cfg.LabelLimit),
		nameLimit:       int(cfg.LabelNameLengthLimit),
		valueLimit:      int(cfg.LabelValueLengthLimit),
	}
}

func (r *sampleRules) equal(o *sampleRules) bool {
	return r.honorLabels == o.honorLabels && r.honorTimestamps == o.honorTimestamps &&
		r.trackTimestamps == o.trackTimestamps && r.legacyNames == o.legacyNames && relabel.EqualAll(r.relabel, o.relabel) &&
		r.labelLimit == o.labelLimit && r.nameLimit == o.nameLimit && r.valueLimit == o.valueLimit
}

// labeler applies rules; it holds the memory for it and belongs to one goroutine.
type labeler struct {
	pairs   []labels.Label
	scratch labels.ScratchBuilder
	builder *labels.Builder
}

// sample turns the pairs in l.pairs, as exposed, into the labels of a series of the target. keep is false if
// relabelling drops it.
func (l *labeler) sample(r *sampleRules, target labels.Labels) (ls labels.Labels, keep bool, err error) {
	if r.honorLabels {
		l.addMissing(target)
	} else {
		l.override(target)
	}
	if ls, err = l.build(); err != nil {
		return ls, false, err
	}
	if len(r.relabel) > 0 {
		if l.builder == nil {
			l.builder = labels.NewBuilder(labels.EmptyLabels())
		}
		l.builder.Reset(ls)
		if !relabel.Process(r.relabel, l.builder) {
			return ls, false, nil
		}
		ls = l.builder.Labels()
	}
	if ls.IsEmpty() {
		return ls, false, nil
	}
	return ls, true, r.check(ls)
}

// addMissing adds the target's labels that the sample does not have; one that is exposed as empty counts as there.
func (l *labeler) addMissing(target labels.Labels) {
	exposed := len(l.pairs)
	for name, value := range target.All() {
		if !slices.ContainsFunc(l.pairs[:exposed], func(p labels.Label) bool { return p.Name == name }) {
			l.pairs = append(l.pairs, labels.Label{Name: name, Value: value})
		}
	}
}

const exportedPrefix = "exported_"

// override sets the target's labels; exposed ones of the same name get another, the shortest name first.
func (l *labeler) override(target labels.Labels) {
	var conflicts []int
	for name := range target.All() {
		if i := l.index(name); i >= 0 && l.pairs[i].Value != "" {
			conflicts = append(conflicts, i)
		}
	}
	exposed := len(l.pairs)
	for name, value := range target.All() {
		if i := l.index(name); i >= 0 && i < exposed && l.pairs[i].Value == "" {
			l.pairs[i].Value = value
			continue
		}
		l.pairs = append(l.pairs, labels.Label{Name: name, Value: value})
	}
	slices.SortStableFunc(conflicts, func(a, b int) int { return len(l.pairs[a].Name) - len(l.pairs[b].Name) })
	for _, i := range conflicts {
		name := exportedPrefix + l.pairs[i].Name
		for l.taken(name) {
			name = exportedPrefix + name
		}
		l.pairs[i].Name = name
	}
}

func (l *labeler) index(name string) int {
	return slices.IndexFunc(l.pairs, func(p labels.Label) bool { return p.Name == name })
}

func (l *labeler) taken(name string) bool {
	i := l.index(name)
	return i >= 0 && l.pairs[i].Value != ""
}

func (l *labeler) build() (labels.Labels, error) {
	l.scratch.Reset()
	for _, p := range l.pairs {
		l.scratch.Add(p.Name, p.Value)
	}
	l.scratch.Sort()
	if name, twice := l.scratch.Duplicate(); twice {
		return labels.Labels{}, fmt.Errorf("label name %q is not unique", name)
	}
	return l.scratch.Labels(), nil
}

// errLabelLimit marks the errors about limits on labels.
var errLabelLimit = errors.New("label limit exceeded")

// limitError is an error about a limit, with a text of its own.
type limitError string

func (e limitError) Error() string      { return string(e) }
func (limitError) Is(target error) bool { return target == errLabelLimit }

func labelLimitError(format string, args ...any) error {
	return limitError(fmt.Sprintf(format, args...))
}

var errNoName = errors.New("missing metric name (__name__ label)")

// check checks names and limits.
func (r *sampleRules) check(ls labels.Labels) error {
	metric := ls.Get(labels.MetricName)
	if metric == "" {
		return errNoName
	}
	if r.legacyNames && !labels.IsValidLegacyMetricName(metric) {
		return fmt.Errorf("metric name %q is not valid in the legacy validation scheme", metric)
	}
	if !r.legacyNames && r.labelLimit == 0 && r.nameLimit == 0 && r.valueLimit == 0 {
		return nil
	}
	if n := ls.Len(); r.labelLimit > 0 && n > r.labelLimit {
		return labelLimitError("label_limit exceeded (metric: %.50s, number of labels: %d, limit: %d)", metric, n, r.labelLimit)
	}
	for name, value := range ls.All() {
		switch {
		case r.legacyNames && !labels.IsValidLegacyLabelName(name):
			return fmt.Errorf("label name %q of %.50s is not valid in the legacy validation scheme", name, metric)
		case r.nameLimit > 0 && len(name) > r.nameLimit:
			return labelLimitError("label_name_length_limit exceeded (metric: %.50s, label name: %.50s, length: %d, limit: %d)",
				metric, name, len(name), r.nameLimit)
		case r.valueLimit > 0 && len(value) > r.valueLimit:
			return labelLimitError("label_value_length_limit exceeded (metric: %.50s, label name: %.50s, value: %.50q, length: %d, limit: %d)",
				metric, name, value, len(value), r.valueLimit)
		}
	}
	return nil
}
