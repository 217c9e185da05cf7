package grant

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Env holds the granted environment variables that are set, by name.
type Env map[string]string

// Names returns their names, sorted.
func (e Env) Names() []string { return slices.Sorted(maps.Keys(e)) }

// newEnv returns those of the asked variables that are granted and set.
func newEnv(asked, granted []string, getenv func(string) string) (Env, error) {
	e := Env{}
	for _, name := range asked {
		value := getenv(name)
		if value == "" || !slices.Contains(granted, name) {
			continue
		}
		if strings.ContainsAny(value, "\r\n") {
			return nil, fmt.Errorf("environment variable %s: its value holds a line break, which cannot be handed to a plugin", name)
		}
		e[name] = value
	}
	return e, nil
}
