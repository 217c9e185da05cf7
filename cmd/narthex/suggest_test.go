package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCommandLineMistakes(t *testing.T) {
	check := func(want string, args ...string) {
		t.Helper()
		root := rootCommand(streams{os.Stdin, os.Stdout, os.Stderr})
		root.SetArgs(args)
		if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", args, err, want)
		}
	}
	check("unknown flag: --config.fil; did you mean --config.file?; see narthex --help", "--config.fil=x")
	check("; did you mean --config.file?", "-config.file=x")
	check("unknown flag: --storage.tsdb.retention; did you mean --storage.tsdb.retention.time?; see", "--storage.tsdb.retention=15d")
	check("unknown flag: --alertmanager.timeout; set timeout below alerting.alertmanagers", "--alertmanager.timeout=5s")
	check("; remove it, since blocks may always overlap; see", "--storage.tsdb.allow-overlapping-blocks")
	check(`invalid argument "5" for "--storage.tsdb.retention.size" flag: "5" is not of type bytes: a number with a unit is needed, such as 512MB`, "--storage.tsdb.retention.size=5")
	check(`--log.level: "warning" is none of debug, info, warn and error`, "--log.level=warning")
	check(`--log.format: "xml" is neither logfmt nor json`, "--log.format=xml")
	check(`unexpected argument "chek"; did you mean narthex check?; see narthex --help`, "chek")
	check(`unexpected argument "version"; did you mean narthex --version?; see`, "version")
	check(`unexpected argument "serve"; without a subcommand, narthex serves; see`, "serve")
	check("0 arguments where one is needed: narthex query list SERVER", "query", "list")
	check("1 argument where 2 are needed: narthex query explain SERVER EXPR", "query", "explain", "up")
	rules := filepath.Join(t.TempDir(), "r.yml")
	if err := os.WriteFile(rules, []byte("groups: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	check("it has neither blocks nor a write-ahead log: it is no data directory", "rules", "replay", "--data-dir="+filepath.Dir(rules), "--start=1", rules)
	check("unless --end is given, the end is 2", "rules", "backfill", "--start=99999999999", "x.yml")
	check("unknown flag: --storage.local.engine; see", "--storage.local.engine=x")
	check(`unknown command "everything"; narthex check has config, healthy, metrics, ready, rules, `, "check", "everything", "x.yml")
	check(`unknown command "nwe"; narthex plugin has `, "plugin", "nwe")
	check("0 arguments where one is needed: narthex plugin new NAME", "plugin", "new")
	check("name the files to check: narthex check config FILE...", "check", "config")
	check("there is no configuration nowhere.yml: write one, name another with --config.file, or try narthex demo", "--config.file=nowhere.yml")
}
