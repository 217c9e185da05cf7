package httpclient

import (
	"fmt"
	"reflect"
	"strings"

	httpconfig "github.com/prometheus/common/config"

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

// Parse decodes those fields from a mapping in YAML or JSON and checks them. Errors are those of package strictyaml.
func Parse(text []byte) (httpconfig.HTTPClientConfig, error) {
	section := struct {
		HTTP httpconfig.HTTPClientConfig `yaml:",inline"`
	}{httpconfig.DefaultHTTPClientConfig}
	doc, err := strictyaml.Parse(text)
	if err != nil {
		return section.HTTP, err
	}
	if err := doc.Decode(&section); err != nil {
		return section.HTTP, err
	}
	if err := section.HTTP.Validate(); err != nil {
		return section.HTTP, fmt.Errorf("HTTP client: %w", err)
	}
	return section.HTTP, nil
}
