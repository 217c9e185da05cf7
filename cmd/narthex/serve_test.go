package main

import (
	"testing"
	"time"
)

func TestQueryMemory(t *testing.T) {
	check := func(available uint64, wantOne, wantAll int64, args ...string) {
		t.Helper()
		v, err := merge(t, args, nil, "")
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

func TestStorageOptions(t *testing.T) {
	check := func(wantMax time.Duration, wantErr string, args ...string) {
		t.Helper()
		v, err := merge(t, args, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		opts, err := storageOptions(v)
		if wantErr != "" {
			if err == nil || err.Error() != wantErr {
				t.Errorf("%v: got %v, want %s", args, err, wantErr)
			}
			return
		}
		if err != nil || opts.MaxBlockDuration != wantMax {
			t.Errorf("%v: got %v, %v, want %v", args, opts.MaxBlockDuration, err, wantMax)
		}
	}
	check(0, "")
	check(4*time.Hour, "", "--storage.tsdb.max-block-duration=4h")
	check(2*time.Hour, "", "--storage.tsdb.max-block-duration=1m")
	check(0, "", "--storage.tsdb.max-block-chunk-segment-size=0B")
	check(0, "--storage.tsdb.max-block-chunk-segment-size must be 1MB or more, not 1B", "--storage.tsdb.max-block-chunk-segment-size=1B")
	check(0, "--storage.tsdb.wal-segment-size must be between 10MB and 256MB, not 1MB", "--storage.tsdb.wal-segment-size=1MB")
	check(0, `--storage.tsdb.wal-compression-type: "lz4" is neither snappy nor zstd`, "--storage.tsdb.wal-compression-type=lz4")
	check(0, "--storage.tsdb.path is empty: name the directory of the metrics storage", "--storage.tsdb.path=")
	check(0, "--storage.tsdb.head-chunks-write-queue-size must be 0 or more, not -1", "--storage.tsdb.head-chunks-write-queue-size=-1")
}
