package grant

import (
	"fmt"
	"strings"
)

// visit calls f with every string that expr names in section and puts f's result in its place. An expression is a
// list of keys with dots between them, where "[*]" after a key stands for each element of a list: "server",
// "files[*]", "clusters[*].api.url". What is absent or null is skipped; what is not a string is an error.
func visit(section any, expr string, f func(string) string) error {
	steps, err := parsePath(expr)
	if err != nil {
		return err
	}
	_, err = walk(section, steps, expr, f)
	return err
}

// parsePath splits "files[*].path" into "files", "[*]", "path".
func parsePath(expr string) ([]string, error) {
	var steps []string
	for part := range strings.SplitSeq(expr, ".") {
		key, each := strings.CutSuffix(part, "[*]")
		if key == "" || strings.ContainsAny(key, "[]*") {
			return nil, fmt.Errorf("field path %q: want keys with dots between them, and [*] after a key", expr)
		}
		steps = append(steps, key)
		if each {
			steps = append(steps, "[*]")
		}
	}
	return steps, nil
}

func walk(v any, steps []string, expr string, f func(string) string) (any, error) {
	if v == nil {
		return nil, nil //nolint:nilnil // an absent field grants nothing
	}
	if len(steps) == 0 {
		s, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("config field %s: a string is needed here, not %v", expr, v)
		}
		return f(s), nil
	}
	if steps[0] == "[*]" {
		list, ok := v.([]any)
		if !ok {
			return nil, fmt.Errorf("config field %s: want a list, got %T", expr, v)
		}
		for i := range list {
			changed, err := walk(list[i], steps[1:], expr, f)
			if err != nil {
				return nil, err
			}
			list[i] = changed
		}
		return list, nil
	}
	section, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("config field %s: want a section with %s, got %T", expr, steps[0], v)
	}
	if _, ok := section[steps[0]]; !ok {
		return section, nil
	}
	changed, err := walk(section[steps[0]], steps[1:], expr, f)
	if err != nil {
		return nil, err
	}
	section[steps[0]] = changed
	return section, nil
}
