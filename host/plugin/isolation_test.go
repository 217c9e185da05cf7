package plugin

import (
	"strings"
	"testing"

	"github.com/narthex-io/narthex/sdk"
)

func TestIsolation(t *testing.T) {
	for _, c := range []struct {
		ordered Isolation
		kind    sdk.Kind
		workers bool
		want    Isolation
	}{
		{"", sdk.KindDiscovery, true, IsolationInline},
		{"", sdk.KindExporter, true, IsolationWorker},
		{"", sdk.KindExporter, false, IsolationInline},
		{"", sdk.KindParser, true, IsolationWorker},
		{"", sdk.KindNotify, true, IsolationInline},
		{"", sdk.KindAuthOutbound, true, IsolationInline},
		{"", sdk.KindAuthInbound, true, IsolationInline},
		{IsolationInline, sdk.KindExporter, true, IsolationInline},
		{IsolationWorker, sdk.KindDiscovery, true, IsolationWorker},
	} {
		s := Settings{Isolation: c.ordered}
		if got := s.isolation(c.kind, c.workers); got != c.want {
			t.Errorf("%+v runs in %s", c, got)
		}
	}
}

func TestIsolationRefused(t *testing.T) {
	native, module := &file{name: "x", path: "/p/x", transport: TransportProcess}, &file{name: "x", transport: TransportWasm}
	c := &Catalogue{}
	for want, err := range map[string]error{
		"plugins.settings.x.isolation: /p/x is an executable": c.checkIsolation(native, Settings{Isolation: IsolationWorker}),
		"this program cannot start workers":                   c.checkIsolation(module, Settings{Isolation: IsolationWorker}),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if err := c.checkIsolation(module, Settings{Isolation: IsolationInline}); err != nil {
		t.Error(err)
	}
}
