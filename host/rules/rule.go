package rules

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/narthex-io/narthex/host/template"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/storage"
)

// rule is a rule at work. Its group evaluates it in one goroutine at a time.
type rule struct {
	name  string
	expr  parser.Expr
	query string
	// labels are the rule's and the group's, with texts of alerts not yet expanded.
	labels labels.Labels
	// alerting is nil for a recording rule.
	alerting *alerting
	// produced are the series of the last evaluation that was stored, by their keys.
	produced map[string]series
	// textErr is the last failure to expand a text that was logged.
	textErr string

	mu     sync.Mutex
	health Health
	err    error
	took   time.Duration
	// evaluated is when the last evaluation began; zero before the first.
	evaluated time.Time
}

// series is what a rule made.
type series struct {
	key    string
	labels labels.Labels
	ref    storage.SeriesRef
}

// newRule makes a rule of its config. external are the server's labels and URL.
func newRule(cfg *RuleConfig, group map[string]string, external map[string]string, externalURL *url.URL) (*rule, error) {
	all := maps.Clone(group)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, cfg.Labels)
	r := &rule{name: cfg.Name(), expr: cfg.parsed, query: cfg.parsed.String(), labels: labels.FromMap(all), health: HealthUnknown}
	if cfg.Alert == "" {
		return r, nil
	}
	a := &alerting{
		rule: r, hold: time.Duration(cfg.For), keep: time.Duration(cfg.KeepFiringFor),
		annotations: maps.Clone(cfg.Annotations), external: external, externalURL: externalURL.String(),
		active: map[string]*alert{},
	}
	if a.annotations == nil {
		a.annotations = map[string]string{}
	}
	var err error
	if a.labelTexts, err = parseTexts(cfg.Alert, r.labels.Map(), externalURL); err != nil {
		return nil, err
	}
	if a.annotationTexts, err = parseTexts(cfg.Alert, a.annotations, externalURL); err != nil {
		return nil, err
	}
	r.alerting = a
	return r, nil
}

// text is a label or annotation of an alert.
type text struct {
	name string
	text *template.Text
}

func parseTexts(alert string, all map[string]string, external *url.URL) (texts []text, err error) {
	for _, name := range sortedKeys(all) {
		t, err := template.Parse(templateName(alert), all[name], external)
		if err != nil {
			return nil, fmt.Errorf("alert %q: %q: %w", alert, name, err)
		}
		texts = append(texts, text{name, t})
	}
	return texts, nil
}

// moment is what an evaluation needs to know.
type moment struct {
	// at is the time of the evaluation, offset how far before it the query looks and samples are stored.
	at     time.Time
	offset time.Duration
	limit  int
	query  template.QueryFunc
	// expanded is told of each text that was expanded, and of the reason if it could not be.
	expanded func(err error)
}

// millis is the time of the samples.
func (m *moment) millis() int64 { return m.at.Add(-m.offset).UnixMilli() }

// evaluate returns the samples of an evaluation.
func (r *rule) evaluate(ctx context.Context, m *moment) ([]storage.Entry, error) {
	found, err := m.query(ctx, r.query, m.at.Add(-m.offset))
	if err != nil {
		return nil, err
	}
	if r.alerting != nil {
		return r.alerting.evaluate(ctx, m, found)
	}
	return r.record(m, found)
}

// record makes the samples of a recording rule.
func (r *rule) record(m *moment, found promql.Vector) ([]storage.Entry, error) {
	entries := make([]storage.Entry, len(found))
	seen := make(map[string]struct{}, len(found))
	b := labels.NewBuilder(labels.Labels{})
	var key []byte
	for i, s := range found {
		b.Reset(s.Labels)
		b.Set(labels.MetricName, r.name)
		for name, value := range r.labels.All() {
			b.Set(name, value)
		}
		e := storage.Entry{Labels: b.Labels(), T: m.millis(), V: s.F}
		if s.H != nil {
			e.FloatHistogram = s.H.Copy()
		}
		key = e.Labels.AppendKey(key[:0])
		if _, twice := seen[string(key)]; twice {
			return nil, errors.New("vector contains metrics with the same labelset after applying rule labels")
		}
		seen[string(key)] = struct{}{}
		entries[i] = e
	}
	if m.limit > 0 && len(entries) > m.limit {
		return nil, fmt.Errorf("exceeded limit of %d with %d series", m.limit, len(entries))
	}
	return entries, nil
}

// identity tells whether a rule of another version of the group is the same.
func (r *rule) identity() string { return r.name + r.labels.String() }

// finished notes how an evaluation went.
func (r *rule) finished(begin time.Time, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.evaluated, r.took = begin, took
}

// result notes the outcome of an evaluation, nil being a good one, and reports whether it is another one than before.
func (r *rule) result(err error) (changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	changed = (r.err == nil) != (err == nil) || err != nil && r.err.Error() != err.Error()
	if r.err, r.health = err, HealthGood; err != nil {
		r.health = HealthBad
	}
	return changed
}

// copyStatus shows how the last evaluation of r went as that of a newer version, until that is evaluated itself.
func (r *rule) copyStatus(to *rule) {
	r.mu.Lock()
	defer r.mu.Unlock()
	to.mu.Lock()
	defer to.mu.Unlock()
	to.health, to.err, to.took, to.evaluated = r.health, r.err, r.took, r.evaluated
}

// made returns the series of the last evaluation in the order of their labels.
func (r *rule) made() []series {
	return slices.SortedFunc(maps.Values(r.produced), func(a, b series) int { return labels.Compare(a.labels, b.labels) })
}
