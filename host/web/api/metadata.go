package api

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/narthex-io/narthex/host/scrape"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
)

type metricMetadata struct {
	Type sample.MetricType `json:"type"`
	Help string            `json:"help"`
	Unit string            `json:"unit"`
}

func entryOf(m scrape.MetricMetadata) metricMetadata {
	return metricMetadata{Type: m.Type, Help: m.Help, Unit: m.Unit}
}

// countParam reads a count; -1 means that there is none.
func countParam(r *http.Request, name string) (int, error) {
	text := r.FormValue(name)
	if text == "" {
		return -1, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, badData("%s must be a number", name)
	}
	return n, nil
}

// metadata answers what is known about metrics: under each name the different entries that targets give.
func (a *api) metadata(r *http.Request) (*answer, error) {
	limit, err := countParam(r, "limit")
	if err != nil {
		return nil, err
	}
	perMetric, err := countParam(r, "limit_per_metric")
	if err != nil {
		return nil, err
	}
	only := r.FormValue("metric")
	all := map[string][]metricMetadata{}
	for _, target := range a.Scrape.Metadata() {
		for _, m := range target.Metrics {
			if only != "" && only != m.Metric {
				continue
			}
			known, ok := all[m.Metric]
			if !ok && limit >= 0 && len(all) >= limit {
				continue
			}
			entry := entryOf(m)
			if slices.Contains(known, entry) || perMetric > 0 && len(known) >= perMetric {
				continue
			}
			all[m.Metric] = append(known, entry)
		}
	}
	return &answer{data: all}, nil
}

type targetMetadata struct {
	Target labels.Labels `json:"target"`
	Metric string        `json:"metric,omitempty"`
	metricMetadata
}

// targetMetadata answers what each target says about its metrics. The limit ends it after a whole target.
func (a *api) targetMetadata(r *http.Request) (*answer, error) {
	limit, err := countParam(r, "limit")
	if err != nil {
		return nil, err
	}
	var matchers []*labels.Matcher
	if text := r.FormValue("match_target"); text != "" {
		if matchers, err = a.Parser.ParseMetricSelector(text); err != nil {
			return nil, invalid("match_target", err)
		}
	}
	only := r.FormValue("metric")
	all := []targetMetadata{}
	for _, target := range a.Scrape.Metadata() {
		if limit >= 0 && len(all) >= limit {
			break
		}
		if !labels.MatchesLabels(target.Labels, matchers...) {
			continue
		}
		for _, m := range target.Metrics {
			switch only {
			case "":
				all = append(all, targetMetadata{target.Labels, m.Metric, entryOf(m)})
			case m.Metric:
				all = append(all, targetMetadata{target.Labels, "", entryOf(m)})
			}
		}
	}
	return &answer{data: all}, nil
}
