package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/narthex-io/narthex/host/scrape"
	"github.com/narthex-io/narthex/internal/strictyaml"
)

// Errors are all the problems of a configuration, each one line: FILE:LINE: PATH: TEXT.
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

// Load reads a configuration file and the files that it names. getenv looks up the environment variables that
// external labels refer to. An error that comes from what the files say is an [Errors].
func Load(path string, getenv func(string) string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return parse(path, text, getenv)
}

func parse(path string, text []byte, getenv func(string) string) (*Config, error) {
	doc, err := strictyaml.Parse(text)
	if err != nil {
		return nil, located(path, nil, err)
	}
	c := &Config{Dir: filepath.Dir(path), OTLP: defaultOTLP()}
	c.root = Origin{File: path, Dir: c.Dir, document: doc}
	if err := decodeWhole(doc, c); err != nil {
		return nil, located(path, doc, err)
	}
	expand := func(s string) string {
		return os.Expand(s, func(name string) string {
			if name == "$" {
				return "$"
			}
			return getenv(name)
		})
	}
	var problems Errors
	if err := c.complete(expand); err != nil {
		problems = append(problems, located(path, doc, err)...)
	}
	for i := range c.ScrapeConfigs {
		c.Origins = append(c.Origins, Origin{File: path, Dir: c.Dir, Path: strictyaml.Index("scrape_configs", i), document: doc})
	}
	more, err := c.loadScrapeConfigFiles(path, doc)
	if err != nil {
		return nil, err
	}
	problems = append(problems, more...)
	problems = append(problems, c.completeJobs()...)
	if len(problems) > 0 {
		return nil, problems
	}
	return c, nil
}

func decodeWhole(doc *strictyaml.Document, c *Config) error {
	w := struct {
		Config  `yaml:",inline"`
		Missing missing `yaml:",inline"`
	}{Config: *c}
	if err := doc.Decode(&w); err != nil {
		return err
	}
	*c = w.Config
	c.missing = w.Missing
	return nil
}

// loadScrapeConfigFiles appends the jobs of the files that scrape_config_files names.
func (c *Config) loadScrapeConfigFiles(path string, doc *strictyaml.Document) (Errors, error) {
	var problems Errors
	for i, pattern := range c.ScrapeConfigFiles {
		if pattern == "" {
			continue
		}
		if !validPattern(pattern) {
			at := strictyaml.At(strictyaml.Index("scrape_config_files", i), fmt.Errorf("invalid scrape config file path %q: one * in the last step of the path is allowed", pattern))
			problems = append(problems, located(path, doc, at)...)
			continue
		}
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(c.Dir, pattern)
		}
		files, err := filepath.Glob(pattern)
		if err != nil {
			at := strictyaml.At(strictyaml.Index("scrape_config_files", i), fmt.Errorf("%q: %w", pattern, err))
			problems = append(problems, located(path, doc, at)...)
			continue
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("read scrape configuration: %w", err)
			}
			problems = append(problems, c.addScrapeConfigFile(file, text)...)
		}
	}
	return problems, nil
}

func (c *Config) addScrapeConfigFile(file string, text []byte) Errors {
	doc, err := strictyaml.Parse(text)
	if err != nil {
		return located(file, nil, err)
	}
	var part struct {
		ScrapeConfigs []*scrape.Config `yaml:"scrape_configs"`
	}
	if err := doc.Decode(&part); err != nil {
		return located(file, doc, err)
	}
	c.ScrapeConfigs = append(c.ScrapeConfigs, part.ScrapeConfigs...)
	for i := range part.ScrapeConfigs {
		c.Origins = append(c.Origins, Origin{
			File: file, Dir: filepath.Dir(file), Path: strictyaml.Index("scrape_configs", i), document: doc,
		})
	}
	return nil
}

// completeJobs fills in each job's defaults and checks it.
func (c *Config) completeJobs() Errors {
	var problems Errors
	first := map[string]Origin{}
	for i, job := range c.ScrapeConfigs {
		origin := c.Origins[i]
		if job == nil {
			problems = append(problems, located(origin.File, origin.document, strictyaml.At(origin.Path, errors.New("empty or null scrape config section")))...)
			continue
		}
		job.SetDirectory(origin.Dir)
		err := job.Complete(c.Global.Inherited)
		if other, twice := first[job.JobName]; twice && job.JobName != "" {
			err = errors.Join(err, strictyaml.At("job_name", fmt.Errorf("%q is the name of the job at %s too: names must differ", job.JobName, other.Position(""))))
		} else {
			first[job.JobName] = origin
		}
		for _, problem := range flatten(err) {
			problems = append(problems, located(origin.File, origin.document, strictyaml.At(origin.Path, problem))...)
		}
	}
	return problems
}

// located adds the file, and the lines that doc knows, to each of the errors that err joins.
func located(file string, doc *strictyaml.Document, err error) Errors {
	var out Errors
	for _, e := range flatten(err) {
		if doc != nil {
			e = doc.Locate(e)
		}
		var at *strictyaml.Error
		if errors.As(e, &at) && at.Line > 0 {
			out = append(out, fmt.Errorf("%s:%w", file, e))
		} else {
			out = append(out, fmt.Errorf("%s: %w", file, e))
		}
	}
	return out
}

// flatten returns the errors that err joins.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}
