package notify

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/narthex-io/narthex/host/httpclient"
	"github.com/narthex-io/narthex/internal/strictyaml"
	"github.com/narthex-io/narthex/model/labels"
)

func someAlerts(n int) []Alert {
	alerts := make([]Alert, n)
	for i := range alerts {
		alerts[i] = Alert{
			Labels: labels.FromStrings("alertname", "InstanceDown", "instance", fmt.Sprint("host-", i, ":9100"), "job", "node",
				"severity", "page", "team", "infrastructure"),
			Annotations: map[string]string{"summary": fmt.Sprint("host-", i, " is down"), "runbook": "https://runbooks.internal/instance-down"},
			StartsAt:    time.Now(), EndsAt: time.Now().Add(time.Hour), GeneratorURL: "http://prometheus:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
		}
	}
	return alerts
}

// BenchmarkSend hands alerts over that wait already, to two Alertmanagers that do not answer.
func BenchmarkSend(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprintf("alerts=%d", n), func(b *testing.B) {
			m, err := New(Options{
				Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
				NewClient: func(httpclient.Config) (*http.Client, error) { return &http.Client{}, nil },
			})
			if err != nil {
				b.Fatal(err)
			}
			doc, err := strictyaml.Parse([]byte("alert_relabel_configs: [{regex: replica, action: labeldrop}]\n" +
				"alertmanagers: [{static_configs: [{targets: [a, b]}]}]"))
			if err != nil {
				b.Fatal(err)
			}
			var cfg Config
			if err := doc.Decode(&cfg); err != nil {
				b.Fatal(err)
			}
			if err := cfg.Complete("", false); err != nil {
				b.Fatal(err)
			}
			change, err := m.Prepare(&cfg, labels.FromStrings("region", "eu", "replica", "1"), nil)
			if err != nil {
				b.Fatal(err)
			}
			change.Apply() // It does not run, so nothing is sent.
			alerts := someAlerts(n)
			b.ReportAllocs()
			for b.Loop() {
				m.Send(context.Background(), alerts...)
			}
		})
	}
}

// BenchmarkPayload encodes a full batch.
func BenchmarkPayload(b *testing.B) {
	alerts := someAlerts(256)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := payload(alerts); err != nil {
			b.Fatal(err)
		}
	}
}
