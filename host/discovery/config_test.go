package discovery

import (
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func parse(t *testing.T, text string) *yaml.Node {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Content[0]
}

func TestTake(t *testing.T) {
	node := parse(t, `
other: 1
static_configs: [{targets: [a, b], labels: {x: y}}]
acme_sd_configs:
- server: s
  basic_auth: {username: u, password: hidden}
  api_token: hidden
  token_file: f
more: 2
`)
	var c Configs
	rest, err := c.Take(node)
	if err != nil {
		t.Fatal(err)
	}
	if len(rest.Content) != 4 || rest.Content[2].Value != "more" || len(node.Content) != 8 {
		t.Errorf("left %d nodes of %d", len(rest.Content), len(node.Content))
	}
	g := c.Groups()
	if len(g) != 1 || len(g[0].Targets) != 2 || g[0].Labels["x"] != "y" {
		t.Errorf("groups %+v", g)
	}
	p := c.Plugins
	if len(p) != 1 || p[0].Name() != "acme_sd_configs[0]" || p[0].Line != 5 || !strings.Contains(string(p[0].JSON), `"password":"hidden"`) {
		t.Errorf("plugins %+v", p)
	}
	section := &yaml.Node{Kind: yaml.MappingNode}
	if err := c.AppendTo(section); err != nil {
		t.Fatal(err)
	}
	shown, err := yaml.Marshal(section)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(shown); strings.Contains(s, "hidden") || !strings.Contains(s, "token_file: f") || strings.Count(s, "<secret>") != 2 {
		t.Errorf("shown as\n%s", s)
	}
}

func TestTakeListsWithoutEntries(t *testing.T) {
	var c Configs
	if _, err := c.Take(parse(t, "b_sd_configs: []\nec2_sd_configs: []\na_sd_configs:\nc_sd_configs: [{}]\nstatic_configs: []")); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Empty, []string{"b_sd_configs", "a_sd_configs"}) || len(c.Plugins) != 1 {
		t.Errorf("got %q, %v", c.Empty, c.Plugins)
	}
}

func TestTakeErrors(t *testing.T) {
	fails := func(text, want string) {
		t.Helper()
		var c Configs
		if _, err := c.Take(parse(t, text)); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
	fails("a_sd_configs: {}", "1: a_sd_configs: a list is needed here")
	fails("a_sd_configs: [null]", "1: a_sd_configs[0]: empty or null entry")
	fails("a_sd_configs: []\na_sd_configs: []", "2: a_sd_configs: given twice")
	fails("static_configs: [{target: [a]}]", "1: static_configs[0].target: unknown field; did you mean targets?")
}
