package api

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/narthex-io/narthex/host/rules"
	"github.com/narthex-io/narthex/model/labels"
)

// Rules is what the API asks of the rules; a [rules.Manager] answers.
type Rules interface {
	// Groups are all groups in the order of files and names.
	Groups() []rules.GroupStatus
}

type rulesAnswer struct {
	Groups         []ruleGroup `json:"groups"`
	GroupNextToken string      `json:"groupNextToken,omitempty"`
}

type ruleGroup struct {
	Name           string    `json:"name"`
	File           string    `json:"file"`
	Rules          []any     `json:"rules"`
	Interval       float64   `json:"interval"`
	Limit          int       `json:"limit"`
	EvaluationTime float64   `json:"evaluationTime"`
	LastEvaluation time.Time `json:"lastEvaluation"`
}

type alertingRule struct {
	State          string            `json:"state"`
	Name           string            `json:"name"`
	Query          string            `json:"query"`
	Duration       float64           `json:"duration"`
	KeepFiringFor  float64           `json:"keepFiringFor"`
	Labels         labels.Labels     `json:"labels"`
	Annotations    map[string]string `json:"annotations"`
	Alerts         []alert           `json:"alerts"`
	Health         rules.Health      `json:"health"`
	LastError      string            `json:"lastError,omitempty"`
	EvaluationTime float64           `json:"evaluationTime"`
	LastEvaluation time.Time         `json:"lastEvaluation"`
	Type           string            `json:"type"`
}

type recordingRule struct {
	Name           string        `json:"name"`
	Query          string        `json:"query"`
	Labels         labels.Labels `json:"labels"`
	Health         rules.Health  `json:"health"`
	LastError      string        `json:"lastError,omitempty"`
	EvaluationTime float64       `json:"evaluationTime"`
	LastEvaluation time.Time     `json:"lastEvaluation"`
	Type           string        `json:"type"`
}

type alert struct {
	Labels          labels.Labels     `json:"labels"`
	Annotations     map[string]string `json:"annotations"`
	State           string            `json:"state"`
	ActiveAt        time.Time         `json:"activeAt"`
	KeepFiringSince *time.Time        `json:"keepFiringSince,omitempty"`
	Value           string            `json:"value"`
}

// ruleFilter are the parameters of /rules.
type ruleFilter struct {
	alerting, recording  bool
	names, groups, files []string
	matchers             [][]*labels.Matcher
	excludeAlerts        bool
	// limit is the number of groups on a page, zero for all; from is the token of the first one.
	limit int
	from  string
}

func (a *api) ruleFilter(r *http.Request) (f ruleFilter, err error) {
	if f.matchers, err = a.matcherParams(r, byText); err != nil {
		return f, err
	}
	f.names, f.groups, f.files = r.Form["rule_name[]"], r.Form["rule_group[]"], r.Form["file[]"]
	query := r.URL.Query() // Upstream reads these from the URL alone.
	kind := strings.ToLower(query.Get("type"))
	if kind != "" && kind != "alert" && kind != "record" {
		return f, invalid("type", fmt.Errorf("not supported value %q", kind))
	}
	f.alerting, f.recording = kind != "record", kind != "alert"
	if text := strings.ToLower(query.Get("exclude_alerts")); text != "" {
		if f.excludeAlerts, err = strconv.ParseBool(text); err != nil {
			return f, invalid("exclude_alerts", fmt.Errorf("error converting exclude_alerts: %w", err))
		}
	}
	f.from = query.Get("group_next_token")
	switch text := query.Get("group_limit"); {
	case text == "" && f.from != "":
		return f, invalid("group_next_token", errors.New("group_limit needs to be present in order to paginate over the groups"))
	case text != "":
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return f, invalid("group_limit", fmt.Errorf("group_limit needs to be a valid number: %w", err))
		}
		if n <= 0 {
			return f, invalid("group_limit", errors.New("group_limit needs to be greater than 0"))
		}
		f.limit = int(n)
	}
	return f, nil
}

func (a *api) rules(r *http.Request) (*answer, error) {
	f, err := a.ruleFilter(r)
	if err != nil {
		return nil, err
	}
	data := rulesAnswer{Groups: []ruleGroup{}}
	all := a.Rules.Groups()
	if f.from != "" {
		start := slices.IndexFunc(all, func(g rules.GroupStatus) bool { return groupToken(g) == f.from })
		if start < 0 {
			return nil, invalid("group_next_token", fmt.Errorf("invalid group_next_token '%v'. were rule groups changed?", f.from))
		}
		all = all[start:]
	}
	for _, g := range all {
		shown := f.group(g)
		if len(shown.Rules) == 0 {
			continue
		}
		if f.limit > 0 && len(data.Groups) == f.limit {
			data.GroupNextToken = groupToken(g)
			break
		}
		data.Groups = append(data.Groups, shown)
	}
	return &answer{data: data}, nil
}

// groupToken names a group in a page's link to the next one.
func groupToken(g rules.GroupStatus) string {
	sum := sha256.Sum256([]byte(g.File + ";" + g.Name))
	return hex.EncodeToString(sum[:])
}

// group returns a group with the rules that the filter lets through.
func (f *ruleFilter) group(g rules.GroupStatus) ruleGroup {
	shown := ruleGroup{
		Name: g.Name, File: g.File, Interval: g.Interval.Seconds(), Limit: g.Limit,
		EvaluationTime: g.EvaluationTime.Seconds(), LastEvaluation: g.LastEvaluation,
	}
	if !listed(f.groups, g.Name) || !listed(f.files, g.File) {
		return shown
	}
	for i := range g.Rules {
		r := &g.Rules[i]
		wanted := r.Alerting && f.alerting || !r.Alerting && f.recording
		if wanted && listed(f.names, r.Name) && f.matches(r.Labels) {
			shown.Rules = append(shown.Rules, f.rule(r))
		}
	}
	return shown
}

func listed(names []string, name string) bool { return len(names) == 0 || slices.Contains(names, name) }

func (f *ruleFilter) matches(ls labels.Labels) bool {
	return len(f.matchers) == 0 || slices.ContainsFunc(f.matchers, func(ms []*labels.Matcher) bool { return labels.MatchesLabels(ls, ms...) })
}

func (f *ruleFilter) rule(r *rules.RuleStatus) any {
	if !r.Alerting {
		return recordingRule{
			Name: r.Name, Query: r.Query, Labels: r.Labels, Health: r.Health, LastError: r.LastError,
			EvaluationTime: r.EvaluationTime.Seconds(), LastEvaluation: r.LastEvaluation, Type: "recording",
		}
	}
	shown := alertingRule{
		State: r.State.String(), Name: r.Name, Query: r.Query, Duration: r.For.Seconds(), KeepFiringFor: r.KeepFiringFor.Seconds(),
		Labels: r.Labels, Annotations: r.Annotations, Health: r.Health, LastError: r.LastError,
		EvaluationTime: r.EvaluationTime.Seconds(), LastEvaluation: r.LastEvaluation, Type: "alerting",
	}
	if !f.excludeAlerts {
		shown.Alerts = alertsOf(r, []alert{})
	}
	return shown
}

// alertsOf appends the alerts of a rule.
func alertsOf(r *rules.RuleStatus, to []alert) []alert {
	for _, al := range r.Alerts {
		shown := alert{
			Labels: al.Labels, Annotations: al.Annotations, State: al.State.String(), ActiveAt: al.ActiveAt,
			Value: strconv.FormatFloat(al.Value, 'e', -1, 64),
		}
		if !al.KeepFiringSince.IsZero() {
			shown.KeepFiringSince = &al.KeepFiringSince
		}
		to = append(to, shown)
	}
	return to
}

func (a *api) alerts(*http.Request) (*answer, error) {
	all := []alert{}
	for _, g := range a.Rules.Groups() {
		// The more serious ones first.
		slices.SortStableFunc(g.Rules, func(x, y rules.RuleStatus) int {
			if x.State != y.State {
				return int(y.State) - int(x.State)
			}
			return strings.Compare(x.Name, y.Name)
		})
		for i := range g.Rules {
			all = alertsOf(&g.Rules[i], all)
		}
	}
	return &answer{data: map[string][]alert{"alerts": all}}, nil
}
