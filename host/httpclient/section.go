package httpclient

import (
	"reflect"
	"slices"
	"strings"

	httpconfig "github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"

	"github.com/narthex-io/narthex/internal/strictyaml"
)

// Fields returns the names of all fields of the HTTP client's section, such as tls_config, which sections of others
// may contain.
func Fields() []string {
	return fieldsOf(reflect.TypeFor[httpconfig.HTTPClientConfig]())
}

func fieldsOf(t reflect.Type) []string {
	var names []string
	for field := range t.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case strings.Contains(options, "inline"):
			names = append(names, fieldsOf(field.Type)...)
		case name != "" && name != "-":
			names = append(names, name)
		}
	}
	return names
}

func isField(name string) bool { return slices.Contains(Fields(), name) }

// parsed is a section with the client's fields and nothing else.
type parsed struct {
	HTTP Config `yaml:",inline"`
}

// UnmarshalYAML decodes the section strictly.
func (p *parsed) UnmarshalYAML(node *yaml.Node) error {
	type plain parsed
	rest, err := p.HTTP.Take(node)
	if err != nil {
		return err
	}
	return strictyaml.Decode(rest, (*plain)(p))
}

// Parse decodes those fields, and the section of an auth plugin, from a mapping in YAML or JSON and checks them. Errors are those
// of package strictyaml.
func Parse(text []byte) (Config, error) {
	section := parsed{DefaultConfig()}
	doc, err := strictyaml.Parse(text)
	if err != nil {
		return section.HTTP, err
	}
	if err := doc.Decode(&section); err != nil {
		return section.HTTP, err
	}
	return section.HTTP, Check(&section.HTTP)
}

// Check checks the fields of a section. The library's errors name a field in their text alone; those returned are of
// package strictyaml and carry it.
func Check(c *Config) error {
	if err := c.checkAuth(); err != nil {
		return err
	}
	err := c.Validate()
	if err == nil {
		return nil
	}
	field, at := "", len(err.Error())
	for _, name := range []string{
		"basic_auth", "authorization", "oauth2", "bearer_token", "tls_config", "no_proxy", "proxy_url",
		"proxy_from_environment", "proxy_connect_header",
	} {
		if i := strings.Index(err.Error(), name); i >= 0 && i < at {
			field, at = name, i
		}
	}
	if strings.HasPrefix(err.Error(), "setting header") {
		field = "http_headers"
	}
	return strictyaml.At(field, err)
}
