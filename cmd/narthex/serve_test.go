package main

import (
	"testing"

	"github.com/spf13/pflag"
)

func TestQueryMemory(t *testing.T) {
	check := func(available uint64, wantOne, wantAll int64, args ...string) {
		t.Helper()
		fs := pflag.NewFlagSet("", pflag.ContinueOnError)
		addFlags(fs)
		if err := fs.Parse(args); err != nil {
			t.Fatal(err)
		}
		v, err := mergeSettings(fs, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if one, all := queryMemory(v, available); one != wantOne || all != wantAll {
			t.Errorf("of %d bytes %v, a query may have %d and all %d, want %d and %d", available, args, one, all, wantOne, wantAll)
		}
	}
	check(16<<30, 2<<30, 8<<30)
	check(256<<30, 4<<30, 128<<30)
	check(128<<20, 64<<20, 64<<20)
	check(16<<30, 1<<30, 8<<30, "--query.max-memory=1GB")
	check(16<<30, 2<<30, 3<<30, "--query.max-total-memory=3GB")
	check(0, 0, 0)
	check(0, 1<<30, 3<<30, "--query.max-memory=1GB", "--query.max-total-memory=3GB")
}
