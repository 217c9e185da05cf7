package notices

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestBoard(t *testing.T) {
	b, err := New(2, prometheus.NewPedanticRegistry())
	if err != nil {
		t.Fatal(err)
	}
	b.Set(ReloadFailed, false)
	b.Set(Starting, true)
	first, end, ok := b.Subscribe()
	if !ok {
		t.Fatal("the first subscriber is refused")
	}
	want := func(text string, active bool) {
		t.Helper()
		if n := <-first; n.Text != text || n.Active != active || n.Date.IsZero() {
			t.Errorf("%+v", n)
		}
	}
	want(Starting, true)
	b.Set(ReloadFailed, true)
	want(ReloadFailed, true)
	b.Set(ReloadFailed, true)
	want(ReloadFailed, true)
	b.Set(Starting, false)
	want(Starting, false)
	if a := b.Active(); len(a) != 1 || a[0].Text != ReloadFailed {
		t.Errorf("%+v", a)
	}
	second, _, ok := b.Subscribe()
	if n := <-second; !ok || n.Text != ReloadFailed {
		t.Errorf("%+v", n)
	}
	if _, _, ok := b.Subscribe(); ok {
		t.Error("there are more subscribers than allowed")
	}
	for range 2 * waiting { // The second one does not read.
		b.Set(ReloadFailed, true)
		want(ReloadFailed, true)
	}
	if n := testutil.ToFloat64(b.dropped); n != waiting {
		t.Errorf("%v messages were dropped", n)
	}
	end()
	if _, end, ok = b.Subscribe(); !ok {
		t.Error("a place that is free again is not given away")
	}
	b.Close()
	end()
	for range second { // until it is closed
	}
	if _, _, ok := b.Subscribe(); ok || testutil.ToFloat64(b.subscribed) != 0 {
		t.Error("a closed board takes subscribers")
	}
}
