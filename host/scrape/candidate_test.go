package scrape

import (
	"fmt"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/sdk"
)

func TestCandidates(t *testing.T) {
	cfg := parseConfigs(t, "- job_name: j\n  relabel_configs: [{source_labels: [__address__], regex: 'b:.*', action: drop}, {action: labelmap, regex: __meta_(.+)}]\n")[0]
	found := cfg.Candidates([]sdk.Group{
		{Targets: []string{"a:1", "b:1", "a:1"}, Labels: map[string]string{"__meta_zone": "x", "team": "t"}},
		{Targets: []string{"bad/path"}},
	})
	var got []string
	for _, c := range found {
		got = append(got, fmt.Sprintf("%s %s → %s %s %v", c.Discovered.Get("__address__"), c.Discovered.Get("__meta_zone"),
			c.Labels.Get("instance"), c.Labels.Get("zone"), c.Err))
		if c.Labels.Get("__meta_zone") != "" || c.Labels.Len() > 0 && c.Labels.Get("__scheme__") != "http" {
			t.Errorf("labels are %s", c.Labels)
		}
	}
	want := []string{`a:1 x → a:1 x <nil>`, `b:1 x →   <nil>`, `bad/path  →   "bad/path" is not a valid hostname`}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
