package notify

import (
	"encoding/json"
	"time"
)

// timeLayout is how the Alertmanager's API writes times: milliseconds are enough for it.
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// postableAlert is an alert as the Alertmanager's API takes it. The order of the fields is the one that Prometheus
// sends, so that what is recorded and compared byte by byte stays equal.
type postableAlert struct {
	Annotations  map[string]string `json:"annotations,omitempty"`
	EndsAt       string            `json:"endsAt"`
	StartsAt     string            `json:"startsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
	Labels       map[string]string `json:"labels"`
}

// payload encodes alerts for a POST to /api/v2/alerts.
func payload(alerts []Alert) ([]byte, error) {
	out := make([]postableAlert, len(alerts))
	for i, a := range alerts {
		out[i] = postableAlert{
			Annotations:  a.Annotations,
			EndsAt:       formatTime(a.EndsAt),
			StartsAt:     formatTime(a.StartsAt),
			GeneratorURL: a.GeneratorURL,
			Labels:       a.Labels.Map(),
		}
	}
	return json.Marshal(out)
}

func formatTime(t time.Time) string { return t.UTC().Format(timeLayout) }
