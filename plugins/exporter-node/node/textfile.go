//go:build linux

package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// textfile passes on the metrics in the *.prom files of the chosen folders, which batch jobs leave there.
//
// A file that is not in order is left out as a whole, and so is what contradicts a file that was read before it.
type textfile struct {
	folders []string // May hold patterns.
	log     *slog.Logger

	mu     sync.Mutex
	logged string // The problems that were logged last.
}

func newTextfile(s sources) collector {
	return &textfile{folders: s.cfg.Textfile.Directories, log: s.log}
}

func (c *textfile) collect(_ context.Context, _ readings, out *exposition) error {
	var problem error
	seen := make(map[string]*textFamily)
	for _, folder := range c.expand() {
		entries, err := os.ReadDir(folder)
		if err != nil {
			problem = errors.Join(problem, err)
		}
		for _, entry := range entries {
			if !strings.HasSuffix(entry.Name(), ".prom") {
				continue
			}
			path := filepath.Join(folder, entry.Name())
			if err := addTextfile(path, seen, out); err != nil {
				problem = errors.Join(problem, fmt.Errorf("%s: %w", path, err))
			}
		}
	}
	c.logChange(problem)
	// As node_exporter has it, broken files are not a failure of the collector.
	out.gauge("node_textfile_scrape_error", "1 if a file or folder could not be read as a whole.", truth(problem != nil))
	return nil
}

// expand resolves the patterns; one that matches nothing is taken for a folder, whose absence is reported.
func (c *textfile) expand() []string {
	var folders []string
	for _, pattern := range c.folders {
		matches, err := filepath.Glob(pattern)
		if err != nil || len(matches) == 0 {
			matches = []string{pattern}
		}
		folders = append(folders, matches...)
	}
	return folders
}

// addTextfile adds a file's metrics to seen and to out.
func addTextfile(path string, seen map[string]*textFamily, out *exposition) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() { // To open a pipe would take until somebody writes into it.
		return errors.New("it is not a regular file")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	families, err := parseTextfile(string(text))
	if err != nil {
		return err
	}
	var problem error
	for _, family := range families {
		if err := family.mergeInto(seen); err != nil {
			problem = errors.Join(problem, err)
			continue
		}
		help := family.help
		if !family.hasHelp {
			help = "Read from " + path + "."
		}
		for _, line := range family.lines {
			out.raw(family.name, help, family.kind, line)
		}
	}
	out.gauge("node_textfile_mtime_seconds", "When the file was changed, in seconds since 1970.",
		float64(info.ModTime().Unix()), label{"file", path})
	return problem
}

// mergeInto refuses a family that contradicts what other files say about it, or repeats one of their series.
func (f *textFamily) mergeInto(seen map[string]*textFamily) error {
	before, ok := seen[f.name]
	if !ok {
		seen[f.name] = f
		return nil
	}
	if before.kind != f.kind {
		return fmt.Errorf("%s is a %s here and a %s in a file before", f.name, f.kind, before.kind)
	}
	if f.hasHelp && before.hasHelp && before.help != f.help {
		return fmt.Errorf("%s has another HELP than in a file before", f.name)
	}
	for series := range f.series {
		if before.series[series] {
			return fmt.Errorf("%s is in a file before, too", series)
		}
	}
	maps.Copy(before.series, f.series)
	return nil
}

// logChange logs problems when they begin or change.
func (c *textfile) logChange(problem error) {
	text := ""
	if problem != nil {
		text = problem.Error()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if text != c.logged && problem != nil {
		c.log.Warn("text files are not in order", "err", problem)
	}
	c.logged = text
}
