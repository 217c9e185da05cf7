package plugin

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// WatchOptions configure a [Watcher]. Directories and Files are required; zero fields mean the default in brackets.
type WatchOptions struct {
	// Directories returns the folders to watch; it is asked again and again, and what is missing is looked for later.
	Directories func() []string
	// Files returns files to watch besides, such as the lock.
	Files func() []string
	// Quiet is for how long nothing may change before a change counts: whoever writes a file has finished by then. [500ms]
	Quiet time.Duration
	// Poll is how often to look where the system tells of no changes. [5s]
	Poll time.Duration
	// Log gets what goes wrong. [nothing is logged]
	Log *slog.Logger
}

// Watcher notices changes of plugins' files.
type Watcher struct {
	WatchOptions
	settled map[string]stamp // what the last call, or the start, has seen
}

// NewWatcher returns a Watcher to which everything is new that changes from now on.
func NewWatcher(o WatchOptions) *Watcher {
	o.Quiet, o.Poll = cmp.Or(o.Quiet, 500*time.Millisecond), cmp.Or(o.Poll, 5*time.Second)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	w := &Watcher{WatchOptions: o}
	w.settled = w.look()
	return w
}

// patience is for how long files may go on changing before that counts, finished or not.
const patience = time.Minute

// stamp tells a file's states apart without reading it.
type stamp struct {
	size     int64
	modified time.Time
	mode     fs.FileMode
}

// Run calls changed each time that plugins' files have changed since the last call, or since NewWatcher, and are quiet again, until ctx is done. What
// changes during a call leads to another one.
func (w *Watcher) Run(ctx context.Context, changed func(context.Context)) error {
	events, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch the plugins: %w", err)
	}
	defer func() { _ = events.Close() }() // nothing is lost with it
	w.follow(events)
	timer := time.NewTimer(w.Quiet)
	defer timer.Stop()
	last, since, soon := w.settled, time.Now(), true
	note := func() { // What goes on changing is found by looking twice, so that events cannot keep that from happening.
		if !soon {
			soon = true
			timer.Reset(w.Quiet)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-events.Events:
			note()
		case err := <-events.Errors:
			w.Log.Debug("changes of plugins may have been missed", "err", err)
			note()
		case <-timer.C:
			w.follow(events)
			now := w.look()
			soon = !maps.Equal(now, w.settled)
			switch {
			case !soon:
				since = time.Now()
			case maps.Equal(now, last) || time.Since(since) > patience:
				w.settled, since = now, time.Now()
				changed(ctx)
			}
			last = now
			if soon {
				timer.Reset(w.Quiet)
			} else {
				timer.Reset(w.Poll)
			}
		}
	}
}

// follow makes the system tell of changes in the folders that exist now, and only there.
func (w *Watcher) follow(events *fsnotify.Watcher) {
	want := slices.Clone(w.Directories())
	for _, file := range w.Files() {
		want = append(want, filepath.Dir(file))
	}
	for i := range want {
		want[i] = filepath.Clean(want[i])
	}
	for _, dir := range events.WatchList() {
		if !slices.Contains(want, dir) {
			_ = events.Remove(dir) // gone already
		}
	}
	for _, dir := range want {
		if err := events.Add(dir); err != nil {
			w.Log.Debug("folder of plugins is looked at from time to time only", "directory", dir, "err", err)
		}
	}
}

// look returns the states of all files that count.
func (w *Watcher) look() map[string]stamp {
	seen := map[string]stamp{}
	note := func(path string) {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			seen[path] = stamp{info.Size(), info.ModTime(), info.Mode()}
		}
	}
	for _, dir := range w.Directories() {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") {
				note(filepath.Join(dir, e.Name()))
			}
		}
	}
	for _, file := range w.Files() {
		note(file)
	}
	return seen
}
