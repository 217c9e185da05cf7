package host

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/host/config"
	"github.com/narthex-io/narthex/sdk"
)

// TestParserNeeds makes sure that parsers are found where they stand, and that those of the global section are one use.
func TestParserNeeds(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("more/jobs.yml", "scrape_configs:\n- job_name: c\n- job_name: d\n  parser: {plugin: parser-x, config: {a: 1}}\n")
	cfg, err := config.Load(write("p.yml", `
global:
  parsers:
  - parser-g
  - {plugin: parser-x, config: {a: 1}, content_types: [a/b]}
scrape_config_files: [more/*.yml]
scrape_configs:
- job_name: a
- job_name: b
  exporters: [{plugin: exporter-e}]
  parsers: [parser-y]
- job_name: none
  parsers: []
`), os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	n, err := needsOf(cfg, "", &signers{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, u := range n.uses {
		base, err := filepath.Rel(dir, u.BaseDir)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.Join([]string{string(u.Kind), u.Plugin, string(u.Config), base, strings.TrimPrefix(u.Position, dir+"/")}, " "))
	}
	want := []string{
		"parser parser-g  . p.yml:4: global.parsers[0]",
		`parser parser-x {"a":1} . p.yml:5: global.parsers[1]`,
		" exporter-e  . p.yml:10: scrape_configs[1].exporters[0]",
		"parser parser-y  . p.yml:11: scrape_configs[1].parsers[0]",
		`parser parser-x {"a":1} more more/jobs.yml:4: scrape_configs[1].parser`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("uses\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if u := n.uses[n.parsing[cfg.ScrapeConfigs[4].Parser.Key()]]; u.BaseDir != filepath.Join(dir, "more") || u.Kind != sdk.KindParser {
		t.Errorf("the parser of job %s is %+v", cfg.ScrapeConfigs[4].JobName, u)
	}
}
