package api

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/narthex-io/narthex/host/scrape"
	"github.com/narthex-io/narthex/model/labels"
)

type activeTarget struct {
	DiscoveredLabels   labels.Labels `json:"discoveredLabels"`
	Labels             labels.Labels `json:"labels"`
	ScrapePool         string        `json:"scrapePool"`
	ScrapeURL          string        `json:"scrapeUrl"`
	GlobalURL          string        `json:"globalUrl"`
	LastError          string        `json:"lastError"`
	LastScrape         time.Time     `json:"lastScrape"`
	LastScrapeDuration float64       `json:"lastScrapeDuration"`
	Health             scrape.Health `json:"health"`
	ScrapeInterval     string        `json:"scrapeInterval"`
	ScrapeTimeout      string        `json:"scrapeTimeout"`
}

type droppedTarget struct {
	DiscoveredLabels labels.Labels `json:"discoveredLabels"`
	ScrapePool       string        `json:"scrapePool"`
}

type targetsAnswer struct {
	ActiveTargets       []activeTarget  `json:"activeTargets"`
	DroppedTargets      []droppedTarget `json:"droppedTargets"`
	DroppedTargetCounts map[string]int  `json:"droppedTargetCounts"`
}

func (a *api) targets(r *http.Request) (*answer, error) {
	state, pool := r.FormValue("state"), r.FormValue("scrapePool")
	data := targetsAnswer{ActiveTargets: []activeTarget{}, DroppedTargets: []droppedTarget{}, DroppedTargetCounts: map[string]int{}}
	if state == "" || state == "any" || state == "active" {
		for _, t := range a.Scrape.Targets() {
			if pool == "" || pool == t.Pool {
				data.ActiveTargets = append(data.ActiveTargets, a.activeTarget(t))
			}
		}
	}
	if state == "" || state == "any" || state == "dropped" {
		for name, dropped := range a.Scrape.Dropped() {
			if pool != "" && pool != name {
				continue
			}
			data.DroppedTargetCounts[name] = dropped.Count
			for _, ls := range dropped.Discovered {
				data.DroppedTargets = append(data.DroppedTargets, droppedTarget{ls, name})
			}
		}
		slices.SortStableFunc(data.DroppedTargets, func(x, y droppedTarget) int {
			if x.ScrapePool != y.ScrapePool {
				return compareStrings(x.ScrapePool, y.ScrapePool)
			}
			return labels.Compare(x.DiscoveredLabels, y.DiscoveredLabels)
		})
	}
	return &answer{data: data}, nil
}
