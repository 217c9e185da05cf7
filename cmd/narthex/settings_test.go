package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// merge merges a command line, an environment and the text of a settings file.
func merge(t *testing.T, args, environ []string, file string) (*values, error) {
	t.Helper()
	if file != "" {
		path := filepath.Join(t.TempDir(), "settings.yml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--settings.file="+path)
	}
	fs := pflag.NewFlagSet("narthex", pflag.ContinueOnError)
	addFlags(fs)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	return mergeSettings(fs, environ, nil)
}

func TestLaterSourcesWin(t *testing.T) {
	check := func(args, environ []string, file, want string) {
		t.Helper()
		v, err := merge(t, args, environ, file)
		if err != nil {
			t.Fatal(err)
		}
		if got := v.text("storage.tsdb.path"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	flag := []string{"--storage.tsdb.path=flag"}
	env := []string{"NARTHEX_STORAGE_TSDB_PATH=env", "HOME=/"}
	check(nil, nil, "", "data/")
	check(nil, nil, "storage.tsdb.path: flat", "flat")
	check(nil, nil, "storage: {tsdb: {path: nested}}", "nested")
	check(nil, env, "storage.tsdb.path: file", "env")
	check(flag, env, "storage.tsdb.path: file", "flag")
}

func TestKinds(t *testing.T) {
	v, err := merge(t, []string{
		"--query.timeout=1m30s", "--storage.tsdb.retention.size=2KB", "--web.listen-address=:1", "--web.listen-address=:2",
		"--no-auto-gomemlimit", "--web.enable-lifecycle", "--query.max-samples=7",
	}, []string{"NARTHEX_PLUGINS_DIRECTORY=a,b"}, "")
	if err != nil {
		t.Fatal(err)
	}
	if v.duration("query.timeout") != 90*time.Second || v.bytes("storage.tsdb.retention.size") != 2048 || v.int("query.max-samples") != 7 ||
		v.flag("auto-gomemlimit") || !v.flag("web.enable-lifecycle") {
		t.Errorf("got %v", v.all())
	}
	if got := strings.Join(v.list("web.listen-address"), " ") + " " + strings.Join(v.list("plugins.directory"), " "); got != ":1 :2 a b" {
		t.Errorf("lists are %s", got)
	}
	if v, err = merge(t, nil, nil, "web.listen-address: [':3', ':4']"); err != nil || len(v.list("web.listen-address")) != 2 {
		t.Errorf("got %v, %v", v, err)
	}
}

func TestMistakesNameTheSource(t *testing.T) {
	check := func(args, environ []string, file, want string) {
		t.Helper()
		_, err := merge(t, args, environ, file)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	check([]string{"--query.timeout=soon"}, nil, "", `"soon" is not of type duration`)
	check([]string{"--query.max-samples=1.5"}, nil, "", `"1.5" is not of type int`)
	check([]string{"--agent"}, nil, "", "--agent belongs to agent mode, which this version does not have yet")
	check([]string{"--web.search.max-limit=1", "--web.user-assets=b"}, nil, "", "--web.user-assets belongs to the web interface")
	check(nil, []string{"NARTHEX_QUERY_TIMEOUT=soon"}, "", `environment: --query.timeout: "soon" is not of type duration`)
	check(nil, []string{"NARTHEX_QUERY_TIMEOT=1m"}, "", "NARTHEX_QUERY_TIMEOT is no setting; did you mean NARTHEX_QUERY_TIMEOUT?")
	check(nil, []string{"NARTHEX_WEB_SEARCH_MAX_LIMIT=1"}, "", "environment: --web.search.max-limit belongs to the search API")
	check(nil, nil, "query.timeot: 1m", `"query.timeot" is no setting; did you mean query.timeout?`)
	check(nil, nil, "query.timeout: [1m]", "--query.timeout: takes one value, not a list")
	check([]string{"--nonsense"}, nil, "", "unknown flag: --nonsense")
}

func TestEveryDefaultIsValid(t *testing.T) {
	for _, s := range settings() {
		if err := s.check(s.value); err != nil {
			t.Errorf("--%s: %v", s.name, err)
		}
	}
}
