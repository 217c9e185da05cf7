package rules

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/common/model"

	"github.com/narthex-io/narthex/internal/strictyaml"
	"github.com/narthex-io/narthex/promql/parser"
)

// LoadOptions say how rule files are read. Parser is required.
type LoadOptions struct {
	// Parser reads expressions, with the features that are enabled.
	Parser *parser.Parser
	// LegacyNames restricts names to the characters of old.
	LegacyNames bool
	// IgnoreUnknownFields accepts fields that mean nothing.
	IgnoreUnknownFields bool
	// Log is told of what is odd but no error; nil for nobody.
	Log *slog.Logger
}

func (o *LoadOptions) names() model.ValidationScheme {
	if o.LegacyNames {
		return model.LegacyValidation
	}
	return model.UTF8Validation
}

// Errors are all the problems of rule files, each one line: FILE:LINE: FIELD: group, rule: TEXT.
type Errors []error

// Error joins the lines.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the problems.
func (es Errors) Unwrap() []error { return es }

// Find returns the files that match patterns, each once, in the order of the patterns.
func Find(patterns []string) (paths []string, err error) {
	seen := map[string]bool{}
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("rule files %q: %w", pattern, err)
		}
		for _, path := range found {
			if !seen[path] {
				seen[path] = true
				paths = append(paths, path)
			}
		}
	}
	return paths, nil
}

// Load reads the rule files that match patterns. Any mistake in any of them makes it fail with [Errors] that list all.
func Load(patterns []string, opts LoadOptions) ([]*File, error) {
	paths, err := Find(patterns)
	if err != nil {
		return nil, Errors{err}
	}
	var files []*File
	var problems Errors
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			problems = append(problems, fmt.Errorf("read rule file: %w", err))
			continue
		}
		f, err := Parse(path, text, opts)
		if err != nil {
			problems = append(problems, err.(Errors)...) //nolint:errorlint // Parse returns nothing else
			continue
		}
		files = append(files, f)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return files, nil
}

// Parse reads the text of a rule file; path is what errors call it. The error is an [Errors].
func Parse(path string, text []byte, opts LoadOptions) (*File, error) {
	doc, more, err := strictyaml.ParseFirst(text)
	if err != nil {
		return nil, Located(path, nil, err)
	}
	if more && opts.Log != nil {
		opts.Log.Warn("only the first document of a rule file counts", "file", path)
	}
	f := &File{Path: path, doc: doc}
	if err := f.decode(opts); err != nil {
		return nil, Located(path, doc, err)
	}
	return f, nil
}

// Located adds the file, and the lines that doc knows, to each of the errors that err joins.
func Located(path string, doc *strictyaml.Document, err error) Errors {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all Errors
		for _, e := range joined.Unwrap() {
			all = append(all, Located(path, doc, e)...)
		}
		return all
	}
	if doc != nil {
		err = doc.Locate(err)
	}
	if at, ok := errors.AsType[*strictyaml.Error](err); ok && at.Line > 0 {
		return Errors{fmt.Errorf("%s:%w", path, err)}
	}
	return Errors{fmt.Errorf("%s: %w", path, err)}
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
