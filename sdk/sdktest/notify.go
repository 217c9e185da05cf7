package sdktest

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/narthex-io/narthex/sdk"
)

// Batches returns batches as a host sends them: an alert that fires, two alerts of which one is resolved, and texts that
// have to be quoted wherever they end up.
func Batches(tb T) []sdk.Batch {
	tb.Helper()
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	alert := func(name, status, summary string) sdk.Alert {
		a := sdk.Alert{
			Status: status, Labels: map[string]string{"alertname": name, "severity": "page"},
			Annotations: map[string]string{"summary": summary}, StartsAt: at,
			GeneratorURL: "http://localhost:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1", Fingerprint: "0123456789abcdef",
		}
		if status == sdk.StatusResolved {
			a.EndsAt = at.Add(time.Minute)
		}
		return a
	}
	batch := func(id, status string, alerts ...sdk.Alert) sdk.Batch {
		text, err := json.Marshal(sdk.Message{
			Version: "4", ID: id, GroupKey: `{severity="page"}`, Status: status, Receiver: "test",
			GroupLabels: map[string]string{"severity": "page"}, CommonLabels: map[string]string{"severity": "page"},
			CommonAnnotations: map[string]string{}, ExternalURL: "http://localhost:9090", Alerts: alerts,
		})
		if err != nil {
			tb.Fatal(err)
		}
		return text
	}
	return []sdk.Batch{
		batch("1", sdk.StatusFiring, alert("Down", sdk.StatusFiring, "host a is down")),
		batch("2", sdk.StatusFiring, alert("Down", sdk.StatusFiring, "host a is down"), alert("Full", sdk.StatusResolved, "disk is full")),
		batch("3", sdk.StatusResolved, alert("Odd", sdk.StatusResolved, "quotes \" ' ` and {{ braces }},\nlines\tand <tags> & ünïcödé \u2028")),
	}
}

func (c Case) notifier(t T) {
	n := c.open(t).Notifier()
	if n == nil {
		t.Fatal("there is no notifier")
	}
	ctx, cancel := context.WithTimeout(t.Context(), c.Patience)
	defer cancel()
	var all sync.WaitGroup // Notify may be called from several goroutines at once
	for _, b := range Batches(t) {
		all.Go(func() {
			if err := n.Notify(ctx, b); err != nil {
				t.Errorf("Notify: %v", err)
			}
		})
	}
	all.Wait()
	returns(t, c.Patience, "Notify", func(gone context.Context) {
		_ = n.Notify(gone, Batches(t)[0]) // It may have been delivered all the same.
	})
}
