package grant

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// foldFor is how long a burst of changes is collected into one.
const foldFor = 50 * time.Millisecond

// Watch calls changed, never more than once in 50 ms, after something in a granted folder may have changed, until ctx
// is done; then it returns ctx's error. The first call says that watching has begun: whoever looked before then may have
// missed a change. A folder that does not exist yet is noticed when it appears. For a granted
// tree the folder itself is watched, not the folders below it.
func (f *Files) Watch(ctx context.Context, changed func()) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch files: %w", err)
	}
	defer func() { _ = w.Close() }()
	folders := f.folders()
	s := &watchSet{w: w, folders: folders, have: map[string]bool{}}
	if err := s.sync(); err != nil {
		return err
	}
	fold := time.NewTimer(0)
	defer fold.Stop()
	<-fold.C
	pending := false
	note := func() {
		if !pending {
			pending = true
			fold.Reset(foldFor)
		}
	}
	note()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-fold.C:
			pending = false
			changed()
		case e := <-w.Events:
			hit, err := s.handle(e)
			if err != nil {
				return err
			}
			if hit {
				note()
			}
		case err := <-w.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("watch files: %w", err)
			}
			note()
		}
	}
}

// Changes implements sdk.Files. The channel is never closed; the goroutine behind it ends with ctx. When watching
// fails, no value ever comes.
func (f *Files) Changes(ctx context.Context) <-chan struct{} {
	c := make(chan struct{}, 1)
	go func() {
		_ = f.Watch(ctx, func() {
			select {
			case c <- struct{}{}:
			default:
			}
		})
	}()
	return c
}

// folders returns the folders that hold granted files.
func (f *Files) folders() []string {
	if f == nil {
		return nil
	}
	var dirs []string
	for _, r := range f.rules {
		dirs = append(dirs, r.dir)
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// watchSet keeps the watches: every granted folder and, in order to see it appear, vanish or be replaced, the nearest
// folder above it that exists.
type watchSet struct {
	w       *fsnotify.Watcher
	folders []string
	have    map[string]bool
}

// sync makes the watches fit what exists now. It repeats until nothing is new: a folder may have appeared after it was
// looked for and before the one above it was watched.
func (s *watchSet) sync() error {
	for before := -1; before != len(s.have); {
		before = len(s.have)
		if err := s.addAll(); err != nil {
			return err
		}
	}
	return nil
}

func (s *watchSet) addAll() error {
	for _, dir := range s.folders {
		for up := dir; ; up = filepath.Dir(up) {
			ok, err := s.add(up)
			if err != nil {
				return err
			}
			if ok && up != dir || up == filepath.Dir(up) {
				break
			}
		}
	}
	return nil
}

// add watches dir and reports whether it exists.
func (s *watchSet) add(dir string) (bool, error) {
	if s.have[dir] {
		return true, nil
	}
	err := s.w.Add(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return false, nil
	}
	if err != nil {
		// A path that ends in something else than a folder can't hold a granted file.
		if info, serr := os.Stat(dir); serr != nil || !info.IsDir() {
			return false, nil //nolint:nilerr // gone again, or not a folder: the same as not there
		}
		return false, fmt.Errorf("watch folder %s: %w", dir, err)
	}
	s.have[dir] = true
	return true, nil
}

// handle reports whether e may have changed a granted file, and follows folders that come and go.
func (s *watchSet) handle(e fsnotify.Event) (bool, error) {
	moved := e.Has(fsnotify.Create) || e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename)
	if moved && s.leadsToFolder(e.Name) {
		// Drop what is watched at and below the name: the watch would follow the old folder to its new place.
		for dir := range s.have {
			if within(e.Name, dir) {
				_ = s.w.Remove(dir)
				delete(s.have, dir)
			}
		}
		return true, s.sync()
	}
	if e.Op == fsnotify.Chmod {
		return false, nil
	}
	return slices.Contains(s.folders, filepath.Dir(e.Name)), nil
}

// leadsToFolder reports whether name is a granted folder or lies above one.
func (s *watchSet) leadsToFolder(name string) bool {
	return slices.ContainsFunc(s.folders, func(dir string) bool { return within(name, dir) })
}

// within reports whether path is parent or lies below it.
func within(parent, path string) bool {
	rel, err := filepath.Rel(parent, path)
	return err == nil && (rel == "." || filepath.IsLocal(rel))
}
