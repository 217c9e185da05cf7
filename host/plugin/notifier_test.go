package plugin

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/narthex-io/narthex/sdk"
)

func TestNotifiers(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		t.Helper()
		b.manifests["notify-x"] = sdk.Manifest{Name: "notify-x", Kinds: []sdk.Kind{sdk.KindNotify}, Keys: []string{"x_notify_configs"}}
		b.manifests["notify-y"] = sdk.Manifest{Name: "notify-y", Kinds: []sdk.Kind{sdk.KindDiscovery}, Keys: []string{"y_notify_configs"}}
		for _, name := range []string{"notify-x", "notify-y"} {
			b.write(name+".wasm", name)
		}
		ch := b.apply(on("x_notify_configs", `1`))
		n := ch.Notifier(0)
		if ch.Discovery(0) != nil || ch.Exporter(0) != nil {
			t.Error("a notifier is something else too")
		}
		want(t, "delivery", n.Notify(t.Context(), sdk.Batch(`1`)), nil) // The fake takes what equals its config.
		if err := n.Notify(t.Context(), sdk.Batch(`2`)); !sdk.IsRejected(err) {
			t.Errorf("rejection arrives as %v", err)
		}
		b.last().trap()
		synctest.Wait()
		if err := n.Notify(t.Context(), sdk.Batch(`1`)); err == nil || sdk.IsRejected(err) {
			t.Errorf("while the guest is away: %v", err)
		}
		time.Sleep(firstPause)
		synctest.Wait()
		want(t, "delivery", n.Notify(t.Context(), sdk.Batch(`1`)), nil)
		want(t, "use", b.info("notify-x").Uses[0].Name, "x_notify_configs")

		_, err := b.Prepare(t.Context(), Config{}, []Use{on("y_notify_configs", `1`)})
		if err == nil || !strings.Contains(err.Error(), "claims the key \"y_notify_configs\", but is not of the kind notify") {
			t.Errorf("a discovery for alerts: %v", err)
		}
	})
}
