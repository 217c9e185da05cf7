package plugin_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/sdk"
)

// limits exceeds each limit that a plugin can be given, and expects to find it by its reason.
func limits(t *testing.T, k *kitchen) {
	t.Helper()
	prepare := func(l plugin.Limits, use plugin.Use) *plugin.Change {
		t.Helper()
		ch, err := k.Prepare(t.Context(), plugin.Config{Settings: map[string]plugin.Settings{"kitchen": {Limits: l}}}, []plugin.Use{use})
		if err != nil {
			t.Fatal(err)
		}
		ch.Apply()
		return ch
	}
	short := model.Duration(100 * time.Millisecond)
	seen := map[session.Reason]float64{}
	// counts waits until exceeding the limit is counted, and is the last error.
	counts := func(r session.Reason, text string) {
		t.Helper()
		k.until(func() bool { return k.counted("narthex_plugin_limits_exceeded_total", string(r)) > seen[r] })
		seen[r] = k.counted("narthex_plugin_limits_exceeded_total", string(r))
		k.until(func() bool { return strings.Contains(k.Plugins()[0].LastError, text) })
	}
	exceeds := func(l plugin.Limits, config string, r session.Reason, text string) {
		t.Helper()
		ch := prepare(l, cook(config))
		_, err := collect(t.Context(), ch.Exporter(0))
		if r != session.ReasonLog && err == nil { // The flood is noticed after the call is over.
			t.Errorf("%s: no error", config)
		}
		counts(r, text)
	}
	exceeds(plugin.Limits{Memory: 40 << 20}, `{"do": "oom"}`, session.ReasonMemory, "memory")
	exceeds(plugin.Limits{CallTimeout: short}, `{"do": "wait"}`, session.ReasonDeadline, "deadline exceeded")
	exceeds(plugin.Limits{CallTimeout: short}, `{"do": "loop"}`, session.ReasonDeadline, "did not answer a cancelled call")
	exceeds(plugin.Limits{Output: 1000}, `{"do": "giant", "size": 1001}`, session.ReasonOutput, "limit of 1000")
	exceeds(plugin.Limits{LogRate: 5}, `{"do": "log-flood", "size": 1100}`, session.ReasonLog, "more than 1000 log lines in 10s")

	ch := prepare(plugin.Limits{Message: 64 << 10, Output: 64 << 10}, plugin.Use{Key: "kitchen_sd_configs", Config: []byte(`{"do": "giant", "size": 70000}`)})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- ch.Discovery(0).Run(ctx, make(chan []sdk.Group)) }()
	counts(session.ReasonMessage, "larger than the limit of 65536")
	cancel()
	<-ended //nolint:errcheck // it says no more than that it was stopped

	_, err := k.Prepare(t.Context(), plugin.Config{Settings: map[string]plugin.Settings{
		"kitchen": {Limits: plugin.Limits{StartTimeout: model.Duration(400 * time.Millisecond)}},
	}}, []plugin.Use{cook(`{"do": "slow-start"}`)})
	if session.ReasonOf(err) != session.ReasonDeadline || !strings.Contains(err.Error(), "not ready within 400ms") {
		t.Errorf("%v", err)
	}

	if k.place == "process" { // what waits for it is in the kernel, and bounded there
		return
	}
	ch = prepare(plugin.Limits{CallTimeout: short, Queue: 4 << 10},
		plugin.Use{Key: "kitchen_notify_configs", Config: []byte(`{"do": "loop"}`)})
	batch := bytes.Repeat([]byte{' '}, 512<<10) // Streams to workers hold some, too.
	ctx, cancel = context.WithCancel(t.Context())
	var senders sync.WaitGroup
	for range 20 { // The guest reads some of them before it runs the first; who comes late on a busy machine sends again.
		senders.Go(func() {
			again := time.NewTicker(50 * time.Millisecond)
			defer again.Stop()
			for ctx.Err() == nil {
				_ = ch.Notifier(0).Notify(ctx, batch)
				<-again.C
			}
		})
	}
	counts(session.ReasonQueue, "did not read what waits for it")
	cancel()
	senders.Wait()
}

// counted returns the value of the kitchen's counter with a reason.
func (k *kitchen) counted(name, reason string) float64 {
	k.Helper()
	families, err := k.registry.Gather()
	if err != nil {
		k.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetName() == "reason" && l.GetValue() == reason {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	return 0
}
