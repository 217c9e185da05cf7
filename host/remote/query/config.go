package query

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	httpconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/narthex-io/narthex/host/httpclient"
	"github.com/narthex-io/narthex/internal/strictyaml"
)

// Config is one entry of the section remote_read. It is ready for use after [Complete] and immutable from then on.
type Config struct {
	// URL is where queries are posted to.
	URL *httpconfig.URL `yaml:"url"`
	// RemoteTimeout bounds one query.
	RemoteTimeout model.Duration `yaml:"remote_timeout,omitempty"`
	// ChunkedReadLimit is how many bytes a frame of chunks may have.
	ChunkedReadLimit uint64 `yaml:"chunked_read_limit,omitempty"`
	// Headers are sent with each query.
	Headers map[string]string `yaml:"headers,omitempty"`
	// ReadRecent has the remote asked also for times of which the local storage has everything.
	ReadRecent bool `yaml:"read_recent,omitempty"`
	// Name tells remotes apart in metrics and logs; if it is empty, something is made up.
	Name string `yaml:"name,omitempty"`

	HTTPClient httpclient.Config `yaml:",inline"`

	// RequiredMatchers are labels with the values that a selector has to ask for, or else the remote is not asked.
	RequiredMatchers map[string]string `yaml:"required_matchers,omitempty"`
	// FilterExternalLabels has series selected by the external labels, which are taken off what comes.
	FilterExternalLabels bool `yaml:"filter_external_labels,omitempty"`
}

// Defaults of an entry.
const (
	defaultTimeout    = time.Minute
	defaultFrameBytes = 50_000_000
)

// UnmarshalYAML decodes an entry strictly.
func (c *Config) UnmarshalYAML(node *yaml.Node) error {
	type plain Config
	*c = Config{
		RemoteTimeout:        model.Duration(defaultTimeout),
		ChunkedReadLimit:     defaultFrameBytes,
		HTTPClient:           httpclient.DefaultConfig(),
		FilterExternalLabels: true,
	}
	rest, err := c.HTTPClient.Take(node)
	if err != nil {
		return err
	}
	return strictyaml.Decode(rest, (*plain)(c))
}

// MarshalYAML shows the entry without secrets.
func (c *Config) MarshalYAML() (any, error) {
	type plain Config
	var node yaml.Node
	if err := node.Encode((*plain)(c)); err != nil {
		return nil, err
	}
	return &node, c.HTTPClient.AppendTo(&node)
}

// Complete checks the entries of a section and makes relative paths of files relative to dir. All problems are returned at
// once, as errors of package strictyaml with paths from the section on.
func Complete(entries []*Config, dir string) error {
	var errs []error
	named, shown := map[string]int{}, map[string]int{}
	for i, c := range entries {
		fail := func(field string, err error) {
			errs = append(errs, strictyaml.At(strictyaml.Join(strictyaml.Index("remote_read", i), field), err))
		}
		if c == nil {
			fail("", errors.New("empty or null remote read section"))
			continue
		}
		c.HTTPClient.SetDirectory(dir)
		c.check(fail)
		if first, twice := named[c.Name]; twice && c.Name != "" {
			fail("name", fmt.Errorf("%q is the name of %s too: names must differ", c.Name, strictyaml.Index("remote_read", first)))
			continue
		}
		named[c.Name] = i
		text, err := yaml.Marshal(c)
		if err != nil {
			fail("", err)
			continue
		}
		if first, twice := shown[string(text)]; twice {
			fail("", fmt.Errorf("this is the same as %s: remove one of them, or give them names", strictyaml.Index("remote_read", first)))
		} else {
			shown[string(text)] = i
		}
	}
	return errors.Join(errs...)
}

// check calls fail with each problem of an entry.
func (c *Config) check(fail func(field string, err error)) {
	switch {
	case c.URL == nil || c.URL.URL == nil || c.URL.String() == "":
		fail("url", errors.New("the URL of the server to read from is missing"))
	case c.URL.Scheme != "http" && c.URL.Scheme != "https":
		fail("url", fmt.Errorf("%q is no URL of a server: it must begin with http:// or https://", c.URL.Redacted()))
	case c.URL.Host == "":
		fail("url", fmt.Errorf("%q names no server", c.URL.Redacted()))
	}
	if c.RemoteTimeout <= 0 {
		fail("remote_timeout", errors.New("the timeout must be above zero"))
	}
	if c.ChunkedReadLimit == 0 {
		fail("chunked_read_limit", errors.New("the limit must be above zero"))
	}
	fail("headers", httpclient.CheckHeaders(c.Headers))
	for _, name := range slices.Sorted(maps.Keys(c.RequiredMatchers)) {
		if name == "" || !utf8.ValidString(name) {
			fail("required_matchers", fmt.Errorf("%q is not a valid label name", name))
		} else if !utf8.ValidString(c.RequiredMatchers[name]) {
			fail("required_matchers."+name, errors.New("the value is not UTF-8"))
		}
	}
	fail("", httpclient.Check(&c.HTTPClient))
}
