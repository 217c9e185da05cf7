package promql

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestActiveLogTellsWhatRan(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queries.active")
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	open := func(places int) *ActiveLog {
		t.Helper()
		l, err := OpenActiveLog(path, places, log)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return l
	}
	now := time.Unix(1700000000, 0)
	old := open(3)
	for place, query := range []string{"up", `ended"`, "sum(x) < \x00\"\n" + strings.Repeat("ü\\", 2000)} {
		if err := old.begin(place, query, now); err != nil {
			t.Fatal(err)
		}
	}
	if err := old.end(1); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil || len(content) != 1+3*1000 {
		t.Fatal(len(content), err)
	}
	found := parseUnfinished(content)
	if len(found) != 2 || found[0] != (entry{"up", 1700000000}) || !strings.HasPrefix(found[1].Query, "sum(x) < \x00\"\nü\\ü") || len(found[1].Query) < 500 {
		t.Errorf("%+v", found)
	}
	// As upstream reads it: without the zeros it is an array, but for its end.
	var entries []entry
	text := strings.TrimSuffix(strings.ReplaceAll(string(content), "\x00", ""), ",") + "]"
	if err := json.Unmarshal([]byte(text), &entries); err != nil || len(entries) != 2 {
		t.Errorf("%v %s", err, text)
	}
	open(1) // The server was killed; now it has fewer places.
	if text := out.String(); !strings.Contains(text, "level=INFO") || !strings.Contains(text, `queries="[{\"query\":\"up\",\"timestamp_sec\":1700000000}`) {
		t.Error(text)
	}
	out.Reset()
	open(20)
	if out.Len() > 0 {
		t.Error(out.String())
	}
}

func TestActiveLogWithoutRoomOrFile(t *testing.T) {
	l, err := OpenActiveLog(filepath.Join(t.TempDir(), "queries.active"), 1, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if err := l.begin(1, "up", time.Now()); err != nil {
		t.Error("a place without an entry: ", err)
	}
	if _, err := OpenActiveLog(filepath.Join(t.TempDir(), "missing", "queries.active"), 1, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("no error for a folder that is not there")
	}
}

func FuzzUnfinished(f *testing.F) {
	f.Add([]byte("["))
	f.Add([]byte(`[{"query":"up","timestamp_sec":1}` + strings.Repeat("\x00", 966) + `,`))
	f.Add([]byte(`{"query":`))
	f.Fuzz(func(t *testing.T, content []byte) {
		if n := len(parseUnfinished(content)); n > len(content)/entryBytes+1 {
			t.Errorf("%d entries in %d bytes", n, len(content))
		}
	})
}

func FuzzEntry(f *testing.F) {
	f.Add("up")
	f.Add(strings.Repeat("<", 400))
	f.Fuzz(func(t *testing.T, query string) {
		e := appendEntry(nil, query, time.Unix(1<<40, 0))
		if len(e) >= entryBytes || !json.Valid(e) {
			t.Errorf("%d bytes: %q", len(e), e)
		}
	})
}
