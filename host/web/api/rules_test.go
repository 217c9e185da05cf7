package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/narthex-io/narthex/host/rules"
	"github.com/narthex-io/narthex/model/labels"
)

type fakeRules []rules.GroupStatus

func (f fakeRules) Groups() []rules.GroupStatus { return f }

func twoGroups() fakeRules {
	at := time.Unix(60, 0).UTC()
	return fakeRules{
		{File: "a.yml", Name: "g", Interval: time.Minute, EvaluationTime: time.Second / 2, LastEvaluation: at, Rules: []rules.RuleStatus{
			{Name: "r", Query: "vector(1)", Health: rules.HealthGood, LastEvaluation: at},
			{
				Alerting: true, Name: "A", Query: "up == 0", Labels: labels.FromStrings("team", "x"), Annotations: map[string]string{}, Health: rules.HealthBad, LastError: "oh",
				LastEvaluation: at, For: time.Minute, State: rules.StateFiring,
				Alerts: []rules.AlertStatus{
					{Labels: labels.FromStrings("alertname", "A"), Annotations: map[string]string{}, State: rules.StateFiring, Value: 0.5, ActiveAt: at, KeepFiringSince: at},
				},
			},
		}},
		{File: "b.yml", Name: "h", Interval: 15 * time.Second, Limit: 3, Rules: []rules.RuleStatus{
			{Name: "s", Query: "up", Labels: labels.FromStrings("team", "y"), Health: rules.HealthUnknown},
		}},
	}
}

const (
	wantRecording = `{"name":"r","query":"vector(1)","labels":{},"health":"ok","evaluationTime":0,"lastEvaluation":"1970-01-01T00:01:00Z","type":"recording"}`
	wantAlert     = `{"labels":{"alertname":"A"},"annotations":{},"state":"firing","activeAt":"1970-01-01T00:01:00Z","keepFiringSince":"1970-01-01T00:01:00Z","value":"5e-01"}`
	wantAlerting  = `{"state":"firing","name":"A","query":"up == 0","duration":60,"keepFiringFor":0,"labels":{"team":"x"},"annotations":{},"alerts":[` + wantAlert + `],` +
		`"health":"err","lastError":"oh","evaluationTime":0,"lastEvaluation":"1970-01-01T00:01:00Z","type":"alerting"}`
	wantOther = `{"name":"s","query":"up","labels":{"team":"y"},"health":"unknown","evaluationTime":0,"lastEvaluation":"0001-01-01T00:00:00Z","type":"recording"}`
	headG     = `{"name":"g","file":"a.yml","rules":[`
	tailG     = `],"interval":60,"limit":0,"evaluationTime":0.5,"lastEvaluation":"1970-01-01T00:01:00Z"}`
	wantH     = `{"name":"h","file":"b.yml","rules":[` + wantOther + `],"interval":15,"limit":3,"evaluationTime":0,"lastEvaluation":"0001-01-01T00:00:00Z"}`
)

func TestRules(t *testing.T) {
	h := newAPI(t)
	check := func(path, groups string) {
		t.Helper()
		want := `{"status":"success","data":{"groups":[` + groups + `]}}`
		if status, body := call(t, h, path, ""); status != http.StatusOK || body != want {
			t.Errorf("%s\n got %d %s\nwant %s", path, status, body, want)
		}
	}
	check("/rules", headG+wantRecording+","+wantAlerting+tailG+","+wantH)
	check("/rules?type=alert", headG+wantAlerting+tailG)
	check("/rules?type=Record&file[]=a.yml", headG+wantRecording+tailG)
	check("/rules?rule_name[]=s&rule_name[]=t", wantH)
	check("/rules?rule_group[]=h", wantH)
	check("/rules?match[]=%7Bteam%3D%22y%22%7D&match[]=%7Bteam%3D%22z%22%7D", wantH)
	check("/rules?type=alert&exclude_alerts=true", headG+strings.Replace(wantAlerting, "["+wantAlert+"]", "null", 1)+tailG)
	check("/rules?group_limit=2", headG+wantRecording+","+wantAlerting+tailG+","+wantH)
	if _, body := call(t, h, "/alerts", ""); body != `{"status":"success","data":{"alerts":[`+wantAlert+`]}}` {
		t.Error(body)
	}
}

func TestRulePages(t *testing.T) {
	h := newAPI(t)
	page := func(path string) (names []string, token string) {
		t.Helper()
		_, body := call(t, h, path, "")
		var got struct {
			Data struct {
				Groups         []struct{ Name string }
				GroupNextToken string
			}
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		for _, g := range got.Data.Groups {
			names = append(names, g.Name)
		}
		return names, got.Data.GroupNextToken
	}
	names, token := page("/rules?group_limit=1")
	if len(names) != 1 || names[0] != "g" || len(token) != 64 {
		t.Fatal(names, token)
	}
	names, last := page("/rules?group_limit=1&group_next_token=" + token)
	if len(names) != 1 || names[0] != "h" || last != "" {
		t.Fatal(names, last)
	}
	for path, want := range map[string]string{
		"/rules?group_next_token=" + token:        `invalid parameter \"group_next_token\": group_limit needs to be present in order to paginate over the groups`,
		"/rules?group_limit=1&group_next_token=x": `invalid group_next_token 'x'. were rule groups changed?`,
		"/rules?group_limit=0":                    "group_limit needs to be greater than 0",
		"/rules?group_limit=x":                    "group_limit needs to be a valid number: strconv.ParseInt: parsing",
		"/rules?type=x":                           `invalid parameter \"type\": not supported value \"x\"`,
		"/rules?exclude_alerts=x":                 "error converting exclude_alerts",
		"/rules?match[]=%7B":                      "parse error",
	} {
		if status, body := call(t, h, path, ""); status != http.StatusBadRequest || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}
