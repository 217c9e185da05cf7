// Package redact takes secrets out of what is shown. Start with [Secrets].
package redact

import (
	"slices"
	"strings"
)

// Secrets replaces, in decoded JSON, the values of keys that hold secrets by convention, for display. It shows too
// little rather than too much: what a plugin's fields mean is not known here.
func Secrets(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if isSecret(key) && value != nil && value != "" {
				v[key] = "<secret>"
			} else {
				v[key] = Secrets(value)
			}
		}
	case []any:
		for i := range v {
			v[i] = Secrets(v[i])
		}
	}
	return v
}

func isSecret(key string) bool {
	key = strings.ToLower(key)
	if strings.HasSuffix(key, "_file") {
		return false
	}
	words := []string{"password", "secret", "secrets", "token", "credentials", "key"}
	return slices.ContainsFunc(words, func(w string) bool {
		return key == w || strings.HasSuffix(key, "_"+w)
	})
}
