package scrape

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/narthex-io/narthex/internal/strictyaml"
)

// ParserConfig is the field parser, or one entry of parsers: a plugin that turns bodies into metrics.
type ParserConfig struct {
	// Plugin is the name of the parser plugin.
	Plugin string
	// JSON is the plugin's config as the operator wrote it; nil if there is none.
	JSON json.RawMessage
	// ContentTypes are the media types of the bodies that it reads; nil means those that the plugin names. They are of no
	// account in the field parser.
	ContentTypes []string

	// dir is the folder against which the plugin's relative paths are resolved.
	dir string
}

// ParserConfigs are the field parsers: nil where it is left out, which is not the same as an empty list.
type ParserConfigs []*ParserConfig

// IsZero reports whether the field is left out.
func (ps ParserConfigs) IsZero() bool { return ps == nil }

// ParserKey names a parser: the same plugin with another config, or in a file of another folder, is another one.
type ParserKey struct{ Plugin, Config, Dir string }

// Key returns what names the parser.
func (p *ParserConfig) Key() ParserKey { return ParserKey{p.Plugin, string(p.JSON), p.dir} }

// Dir is the folder against which the plugin's relative paths are resolved.
func (p *ParserConfig) Dir() string { return p.dir }

// UnmarshalYAML decodes a plugin's name, or a mapping, strictly; the plugin's own config is checked by the plugin.
func (p *ParserConfig) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode && node.Tag == "!!str" {
		*p = ParserConfig{Plugin: node.Value}
		return p.checkName(node)
	}
	var raw struct {
		Plugin       string    `yaml:"plugin"`
		Config       yaml.Node `yaml:"config"`
		ContentTypes []string  `yaml:"content_types"`
	}
	if err := strictyaml.Decode(node, &raw); err != nil {
		return err
	}
	*p = ParserConfig{Plugin: raw.Plugin, ContentTypes: raw.ContentTypes}
	if err := p.checkName(node); err != nil {
		return err
	}
	if raw.Config.IsZero() {
		return nil
	}
	text, err := strictyaml.JSON(&raw.Config)
	p.JSON = text
	return strictyaml.At("config", err)
}

func (p *ParserConfig) checkName(node *yaml.Node) error {
	if p.Plugin == "" {
		return &strictyaml.Error{Line: node.Line, Path: "plugin", Err: errors.New("a plugin's name is needed")}
	}
	return nil
}

// MarshalYAML shows the entry.
func (p ParserConfig) MarshalYAML() (any, error) {
	shown := struct {
		Plugin       string   `yaml:"plugin"`
		Config       any      `yaml:"config,omitempty"`
		ContentTypes []string `yaml:"content_types,omitempty"`
	}{Plugin: p.Plugin, ContentTypes: p.ContentTypes}
	if p.JSON != nil {
		if err := json.Unmarshal(p.JSON, &shown.Config); err != nil {
			return nil, err
		}
	}
	return shown, nil
}

// checkParser checks the field parser.
func (c *Config) checkParser() error {
	switch {
	case c.Parser == nil:
		return nil
	case c.Parser.ContentTypes != nil:
		return strictyaml.At("content_types", errors.New("parser reads every body of the job: use parsers to choose one by content type"))
	case c.Parsers != nil && !c.parsersInherited:
		return errors.New("parser reads every body of the job, so that nothing is left for parsers: remove one of them")
	}
	return nil
}

// checkParsers checks the media types of a list of parsers.
func checkParsers(parsers []*ParserConfig) error {
	var errs []error
	seen := map[string]int{}
	for i, p := range parsers {
		at := strictyaml.Index("", i)
		if p == nil {
			errs = append(errs, strictyaml.At(at, errors.New("empty entry")))
			continue
		}
		if p.ContentTypes != nil && len(p.ContentTypes) == 0 {
			errs = append(errs, strictyaml.At(at+".content_types", errors.New("the list is empty: remove it to take those that the plugin names")))
		}
		for j, text := range p.ContentTypes {
			at := strictyaml.Index(at+".content_types", j)
			parsed, params, err := mime.ParseMediaType(text)
			if err != nil || len(params) > 0 || !strings.Contains(parsed, "/") || strings.Contains(parsed, "*") {
				errs = append(errs, strictyaml.At(at, fmt.Errorf("%q is no media type such as application/json, without parameters", text)))
				continue
			}
			if other, twice := seen[parsed]; twice {
				errs = append(errs, strictyaml.At(at, fmt.Errorf("%s is read by entry %d already", parsed, other)))
			}
			seen[parsed] = i
		}
	}
	return errors.Join(errs...)
}

// AllParsers returns the parsers that the job uses, and whether it has them from the global section.
func (c *Config) AllParsers() (parsers []*ParserConfig, inherited bool) {
	if c.Parser != nil {
		return []*ParserConfig{c.Parser}, false
	}
	return c.Parsers, c.parsersInherited
}

// ParserTypes returns the media types that a parser plugin names itself.
type ParserTypes func(ParserKey) []string

// CheckParsers returns an error if it is not clear which parser is to read a body, with a path below the job or, where the
// parsers are inherited, below the global section.
func (c *Config) CheckParsers(named ParserTypes) error {
	_, err := c.routes(named)
	return err
}

// parserRoutes say which parser reads a body.
type parserRoutes struct {
	// every reads all bodies; otherwise by has those for media types.
	every *ParserConfig
	by    map[string]*ParserConfig
	// types are the media types that are read, in order of the configuration.
	types []string
}

func (c *Config) routes(named ParserTypes) (parserRoutes, error) {
	if c.Parser != nil {
		r := parserRoutes{every: c.Parser}
		if named != nil {
			r.types = named(c.Parser.Key())
		}
		return r, nil
	}
	r := parserRoutes{by: map[string]*ParserConfig{}}
	for i, p := range c.Parsers {
		at := strictyaml.Index("parsers", i)
		types := p.mediaTypes()
		if types == nil && named != nil {
			types = named(p.Key())
		}
		if len(types) == 0 {
			return r, strictyaml.At(at, fmt.Errorf("plugin %s does not say which media types it reads: list them in content_types", p.Plugin))
		}
		for _, t := range types {
			if other := r.by[t]; other != nil {
				return r, strictyaml.At(at, fmt.Errorf("%s is read by both %s and %s: say in content_types what each of them is for", t, other.Plugin, p.Plugin))
			}
			r.by[t] = p
		}
		r.types = append(r.types, types...)
	}
	return r, nil
}

// mediaTypes returns ContentTypes in lower case.
func (p *ParserConfig) mediaTypes() (types []string) {
	for _, text := range p.ContentTypes {
		parsed, _, _ := mime.ParseMediaType(text) // Complete has checked it.
		types = append(types, parsed)
	}
	return types
}

// of returns the parser for a body; nil if there is none.
func (r *parserRoutes) of(contentType string) *ParserConfig {
	if r.every != nil || len(r.by) == 0 {
		return r.every
	}
	mediaType, _, _ := mime.ParseMediaType(contentType) // What cannot be read has no parser.
	return r.by[mediaType]
}

// accept returns the Accept header of a job that asks for protocols.
func (r *parserRoutes) accept(protocols []Protocol, escaping string) string {
	switch {
	case r.every == nil:
		return acceptHeader(protocols, escaping, r.types...)
	case len(r.types) == 0:
		return "*/*"
	}
	return strings.Join(r.types, ",") + ",*/*;q=0.1"
}
