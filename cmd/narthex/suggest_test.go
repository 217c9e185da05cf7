package main

import (
	"os"
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
	check("unknown flag: --storage.local.engine; see", "--storage.local.engine=x")
	check(`unknown command "everything"; narthex check has config, rules`, "check", "everything", "x.yml")
	check(`unknown command "nwe"; narthex plugin has build, inspect, list, new, run`, "plugin", "nwe")
	check("0 arguments where one is needed: narthex plugin new NAME", "plugin", "new")
	check("name the files to check: narthex check config FILE...", "check", "config")
	check("there is no configuration nowhere.yml: write one, name another with --config.file, or try narthex demo", "--config.file=nowhere.yml")
}
