package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/narthex-io/narthex/internal/redact"
	"github.com/narthex-io/narthex/internal/strictyaml"
)

// KeySuffix ends the keys of sections that plugins claim which judge requests.
const KeySuffix = "_auth"

// Config is the section web of the configuration file. Without entries everybody may do everything.
type Config struct {
	// Auth are the entries, one of which has to accept a request.
	Auth []Entry
	// PublicPaths are those of requests that nobody judges, without --web.route-prefix; a * in the end stands for anything.
	PublicPaths []string
}

// Entry is a section for the plugin that claims the key.
type Entry struct {
	// Key is such as jwt_auth.
	Key string
	// JSON is the section as the operator wrote it, secrets included.
	JSON json.RawMessage
	// shown is the section without secrets.
	shown any
}

// defaultPublicPaths returns what is public unless the operator says otherwise: what supervisors of the process ask for.
func defaultPublicPaths() []string { return []string{"/-/healthy", "/-/ready"} }

// UnmarshalYAML implements yaml.Unmarshaler. Its errors carry lines, and paths below the section.
func (c *Config) UnmarshalYAML(node *yaml.Node) error {
	var raw struct {
		Auth        yaml.Node `yaml:"auth"`
		PublicPaths *[]string `yaml:"public_paths"`
	}
	if err := strictyaml.Decode(node, &raw); err != nil {
		return err
	}
	*c = Config{PublicPaths: defaultPublicPaths()}
	if raw.PublicPaths != nil {
		c.PublicPaths = *raw.PublicPaths
	}
	for i, p := range c.PublicPaths {
		if !strings.HasPrefix(p, "/") || strings.Contains(strings.TrimSuffix(p, "*"), "*") {
			at := strictyaml.Join("public_paths", strictyaml.Index("", i))
			return located(node, strictyaml.At(at, fmt.Errorf("%q must start with a slash, and a * may only be its end", p)))
		}
	}
	return located(node, strictyaml.At("auth", c.takeAuth(node, &raw.Auth)))
}

// located adds the line of the nearest field to an error.
func located(node *yaml.Node, err error) error {
	at, ok := errors.AsType[*strictyaml.Error](err)
	if !ok || at.Line > 0 {
		return err
	}
	at.Line = node.Line
	field, _, _ := strings.Cut(at.Path, "[")
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == field {
			at.Line = node.Content[i].Line
		}
	}
	return at
}

// takeAuth reads the list. One that is there and empty is a mistake: who empties it may not want to let everybody in.
func (c *Config) takeAuth(section, list *yaml.Node) error {
	given := false
	for i := 0; i+1 < len(section.Content); i += 2 {
		given = given || section.Content[i].Value == "auth"
	}
	if !given {
		return nil
	}
	if list.Kind != yaml.SequenceNode && list.Kind != 0 {
		return &strictyaml.Error{Line: list.Line, Err: errors.New("a list is needed here")}
	}
	if len(list.Content) == 0 {
		return &strictyaml.Error{Line: list.Line, Err: errors.New("the list is empty; remove the field to answer everybody")}
	}
	for i, item := range list.Content {
		e, err := newEntry(item)
		if err != nil {
			return strictyaml.At(strictyaml.Index("", i), err)
		}
		c.Auth = append(c.Auth, e)
	}
	return nil
}

func newEntry(item *yaml.Node) (Entry, error) {
	item = strictyaml.Resolve(item)
	if item.Kind != yaml.MappingNode || len(item.Content) != 2 {
		return Entry{}, &strictyaml.Error{Line: item.Line, Err: errors.New("a mapping with one key such as jwt_auth is needed here")}
	}
	key, value := item.Content[0], item.Content[1]
	if !strings.HasSuffix(key.Value, KeySuffix) {
		return Entry{}, &strictyaml.Error{Line: key.Line, Path: key.Value, Err: fmt.Errorf("unknown field; keys of plugins that judge requests end in %s", KeySuffix)}
	}
	if key.Value == "basic_auth" {
		return Entry{}, &strictyaml.Error{Line: key.Line, Path: key.Value, Err: errors.New("users and passwords belong into the file of --web.config.file")}
	}
	value = strictyaml.Resolve(value)
	e := Entry{Key: key.Value, JSON: json.RawMessage("{}"), shown: map[string]any{}}
	if value.Tag == "!!null" {
		return e, nil
	}
	text, err := strictyaml.JSON(value)
	if err != nil {
		return Entry{}, strictyaml.At(key.Value, err)
	}
	e.JSON = text
	if err := json.Unmarshal(text, &e.shown); err != nil {
		return Entry{}, err
	}
	e.shown = redact.Secrets(e.shown)
	return e, nil
}

// IsZero reports whether nothing is configured.
func (c Config) IsZero() bool { return len(c.Auth) == 0 && c.PublicPaths == nil }

// MarshalYAML implements yaml.Marshaler, for display: secrets are hidden.
func (c Config) MarshalYAML() (any, error) {
	var shown struct {
		Auth        []map[string]any `yaml:"auth,omitempty"`
		PublicPaths []string         `yaml:"public_paths"`
	}
	for _, e := range c.Auth {
		shown.Auth = append(shown.Auth, map[string]any{e.Key: e.shown})
	}
	shown.PublicPaths = slices.Clone(c.PublicPaths)
	return shown, nil
}
