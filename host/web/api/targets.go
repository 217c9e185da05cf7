package api

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/narthex-io/narthex/host/plugin"
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
	ActiveTargets  []activeTarget  `json:"activeTargets"`
	DroppedTargets []droppedTarget `json:"droppedTargets"`
	// DroppedTargetCounts is nil, and null in JSON, when dropped targets were not asked for.
	DroppedTargetCounts map[string]int `json:"droppedTargetCounts"`
}

func (a *api) targets(r *http.Request) (*answer, error) {
	state, pool := strings.ToLower(r.FormValue("state")), r.FormValue("scrapePool")
	data := targetsAnswer{ActiveTargets: []activeTarget{}, DroppedTargets: []droppedTarget{}}
	if state == "" || state == "any" || state == "active" {
		for _, t := range a.Scrape.Targets() {
			if pool == "" || pool == t.Pool {
				data.ActiveTargets = append(data.ActiveTargets, a.activeTarget(t))
			}
		}
	}
	if state == "" || state == "any" || state == "dropped" {
		data.DroppedTargetCounts = map[string]int{}
		for name, dropped := range a.Scrape.Dropped() {
			data.DroppedTargetCounts[name] = dropped.Count
			if pool != "" && pool != name {
				continue
			}
			for _, ls := range dropped.Discovered {
				data.DroppedTargets = append(data.DroppedTargets, droppedTarget{ls, name})
			}
		}
		slices.SortStableFunc(data.DroppedTargets, func(x, y droppedTarget) int {
			if x.ScrapePool != y.ScrapePool {
				return strings.Compare(x.ScrapePool, y.ScrapePool)
			}
			return labels.Compare(x.DiscoveredLabels, y.DiscoveredLabels)
		})
	}
	return &answer{data: data}, nil
}

func (a *api) activeTarget(t scrape.TargetStatus) activeTarget {
	return activeTarget{
		DiscoveredLabels:   t.Discovered,
		Labels:             t.Labels,
		ScrapePool:         t.Pool,
		ScrapeURL:          t.URL,
		GlobalURL:          globalURL(t.URL, a.ExternalURL()),
		LastError:          t.LastError,
		LastScrape:         t.LastScrape,
		LastScrapeDuration: t.LastDuration.Seconds(),
		Health:             t.Health,
		ScrapeInterval:     model.Duration(t.Interval).String(),
		ScrapeTimeout:      model.Duration(t.Timeout).String(),
	}
}

// globalURL returns a target's URL as seen from elsewhere: this machine's own names are replaced by the server's.
func globalURL(target string, external *url.URL) string {
	u, err := url.Parse(target)
	if err != nil {
		return target
	}
	if host := u.Hostname(); host != "localhost" && host != "127.0.0.1" && host != "::1" {
		return target
	}
	switch port := u.Port(); port {
	case external.Port():
		u.Scheme, u.Host = external.Scheme, external.Host
	case "":
		u.Host = external.Hostname()
	default:
		u.Host = net.JoinHostPort(external.Hostname(), port)
	}
	return u.String()
}

func (a *api) scrapePools(*http.Request) (*answer, error) {
	pools := a.Scrape.Pools()
	if pools == nil {
		pools = []string{}
	}
	return &answer{data: map[string][]string{"scrapePools": pools}}, nil
}

func (a *api) plugins(*http.Request) (*answer, error) {
	infos := a.Plugins.Plugins()
	if infos == nil {
		infos = []plugin.Info{}
	}
	return &answer{data: map[string][]plugin.Info{"plugins": infos}}, nil
}
