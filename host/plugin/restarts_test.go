package plugin

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/narthex-io/narthex/host/plugin/internal/runtimetest"
)

// manyRestarts is how often a guest is restarted in the full run.
const manyRestarts = 10_000

// TestManyRestarts restarts a guest again and again: nothing of it stays behind. The full run, of ten thousand restarts in each
// place, is that with NARTHEX_RESTARTS=10000 in the environment, and takes some minutes.
func TestManyRestarts(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("what a process holds is counted in /proc")
	}
	guests, err := runtimetest.NewGuests()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = guests.Close() })
	binary := guests.Host(t)
	for _, place := range []struct {
		name, file, guest string
		settings          Settings
		times             int
	}{
		{"inline", "kitchen.wasm", guests.Compiled(t, runtimetest.Kitchen), Settings{Isolation: IsolationInline}, 100},
		{"worker", "kitchen.wasm", guests.Compiled(t, runtimetest.Kitchen), Settings{Isolation: IsolationWorker}, 10},
		{"process", "kitchen", guests.Native(t, runtimetest.Kitchen), Settings{}, 50},
	} {
		t.Run(place.name, func(t *testing.T) {
			times := place.times
			if text := os.Getenv("NARTHEX_RESTARTS"); text != "" {
				if times, err = strconv.Atoi(text); err != nil {
					t.Fatal(err)
				}
			}
			temp, dir := t.TempDir(), t.TempDir()
			t.Setenv("TMPDIR", temp)
			if err := os.Link(place.guest, filepath.Join(dir, place.file)); err != nil {
				t.Fatal(err)
			}
			c, err := New(Options{
				Directories: []string{dir}, CacheDir: guests.CacheDir(), Worker: binary, Logger: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			}()
			c.pause = func(int) time.Duration { return 0 }
			ch, err := c.Prepare(t.Context(), Config{Settings: map[string]Settings{"kitchen": place.settings}}, []Use{
				{Plugin: "kitchen", Config: []byte(`{"do": "exit"}`)},
			})
			if err != nil {
				t.Fatal(err)
			}
			ch.Apply()
			restart(t, c, ch.Exporter(0), 10) // what is made once
			before := residueOf(t, temp)
			begin := time.Now()
			restart(t, c, ch.Exporter(0), times)
			took := time.Since(begin)
			before.wantNoMore(t, temp, 4<<20)
			t.Logf("%d restarts in %v, %v each", times, took, took/time.Duration(times))
		})
	}
}

// restart calls an exporter that dies of it, until it was started anew n times more.
func restart(t *testing.T, c *Catalogue, e *Exporter, n int) {
	t.Helper()
	for end := c.Plugins()[0].Restarts + uint64(n); c.Plugins()[0].Restarts < end || c.Plugins()[0].State != StateReady; {
		if err := e.Collect(t.Context(), io.Discard); err == nil {
			t.Fatal("a guest that dies in a call has answered it")
		}
		<-time.After(time.Millisecond)
	}
}

// TestManyRestartsWithPauses goes through the pauses as well, on a clock of its own.
func TestManyRestartsWithPauses(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		t.Helper()
		ch := b.apply(on("a_sd_configs", `1`), on("exporter-x", `"v"`))
		r := runDiscovery(ch.Discovery(0))
		synctest.Wait()
		goroutines := bubbled()
		for i := range manyRestarts {
			b.guest("sd-a", "1").trap()
			b.guest("exporter-x", `"v"`).die(errors.New("gone"))
			time.Sleep(maxPause)
			synctest.Wait()
			if got := len(b.alive()); got != 2 {
				t.Fatalf("%d guests run after %d restarts", got, i+1)
			}
			b.forget()
		}
		if n := bubbled(); n != goroutines {
			t.Errorf("%d goroutines, were %d", n, goroutines)
		}
		want(t, "restarts", b.info("sd-a").Restarts, manyRestarts)
		want(t, "restarts", b.info("exporter-x").Restarts, manyRestarts)
		want(t, "Run", r.stop().Error(), "context canceled")
	})
}

// bubbled counts the goroutines inside of bubbles. Those outside come and go as the runtime and earlier tests please.
func bubbled() int {
	stacks := make([]byte, 1<<20)
	return bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte(", synctest bubble "))
}

// forget drops the guests that are gone.
func (l *fakes) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.guests = l.guests[max(0, len(l.guests)-2):]
}
