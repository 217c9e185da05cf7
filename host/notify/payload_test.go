package notify

import (
	"testing"
	"time"

	"github.com/narthex-io/narthex/model/labels"
)

// TestPayload compares with what Prometheus 3.14 sends for such alerts.
func TestPayload(t *testing.T) {
	check := func(want string, alerts ...Alert) {
		t.Helper()
		got, err := payload(alerts)
		if err != nil || string(got) != want {
			t.Errorf("got  %s, %v\nwant %s", got, err, want)
		}
	}
	at := time.Date(2026, 2, 3, 4, 5, 6, 789_999_999, time.FixedZone("", 3600))
	check(`[{"annotations":{"empty":"","summary":"\u003cb\u003e \u0026 \"ü\" \u2028\n"},"endsAt":"2026-02-03T03:09:06.789Z",`+
		`"startsAt":"2026-02-03T03:05:06.789Z","generatorURL":"http://x/graph?g0.expr=up+%3D%3D+0\u0026g0.tab=1",`+
		`"labels":{"a":"b","alertname":"Down"}}]`,
		Alert{
			Labels:      labels.FromStrings("alertname", "Down", "a", "b"),
			Annotations: map[string]string{"summary": "<b> & \"ü\" \u2028\n", "empty": ""},
			StartsAt:    at, EndsAt: at.Add(4 * time.Minute), GeneratorURL: "http://x/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
		})
	check(`[{"endsAt":"0001-01-01T00:00:00.000Z","startsAt":"0001-01-01T00:00:00.000Z","labels":{}}]`, Alert{})
	check(`[]`)
}
