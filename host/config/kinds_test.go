package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// goWords are what only programs written in Go call anything.
var goWords = regexp.MustCompile(`cannot unmarshal|!!\w|\w+\.[Pp]lain|\bplain\b|map\[|\[\]\w|\binterface\b|\bstruct\b|reflect|float64|u?int(8|16|32|64)|\bbool\b|\*?\b(config|model|yaml|notify|scrape|discovery|access|relabel|time|url|labels)\.[A-Z]\w*`)

// TestNoGoTypesInMessages feeds each field with a value of each kind and reads what is said of it.
func TestNoGoTypesInMessages(t *testing.T) {
	fields := 0
	for path := range strings.SplitSeq(strings.TrimSpace(fieldPaths(reflect.TypeFor[Config](), "%s", 0)), "\n") {
		fields++
		for _, value := range []string{"[]", "[x]", "[[x]]", "[{x: y}]", "{}", "{x: y}", "{x: [y]}", "x", "''", "-1.5", "99999999999999999999", "null", "[null]", "true", "2020-01-02", "!!binary aGk="} {
			text := strings.ReplaceAll(path, "%s", value)
			_, err := load(t, text)
			if err == nil {
				continue
			}
			if found := goWords.FindString(err.Error()); found != "" {
				t.Errorf("%s\n%v\nsays %q", text, err, found)
			}
		}
	}
	if fields < 100 {
		t.Errorf("%d fields were tried", fields)
	}
}

// fieldPaths returns a line of YAML for each field of a type; around has %s where the value of the type goes.
func fieldPaths(of reflect.Type, around string, depth int) string {
	put := func(s string) string { return strings.Replace(around, "%s", s, 1) }
	switch {
	case depth > 9 || of == reflect.TypeFor[yaml.Node]():
		return put("%s") + "\n"
	case of.Kind() == reflect.Pointer:
		return fieldPaths(of.Elem(), around, depth)
	case of.Kind() == reflect.Slice:
		return put("%s") + "\n" + fieldPaths(of.Elem(), put("[%s]"), depth+1)
	case of.Kind() == reflect.Map:
		return put("%s") + "\n" + fieldPaths(of.Elem(), put("{name: %s}"), depth+1)
	case of.Kind() != reflect.Struct:
		return put("%s") + "\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", put("%s"))
	b.WriteString(structPaths(of, put, depth))
	return b.String()
}

func structPaths(of reflect.Type, put func(string) string, depth int) string {
	var b strings.Builder
	for field := range of.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if slices.Contains(strings.Split(options, ","), "inline") && field.Type.Kind() == reflect.Struct {
			b.WriteString(structPaths(field.Type, put, depth))
		} else if field.IsExported() && name != "" && name != "-" {
			b.WriteString(fieldPaths(field.Type, put("{"+name+": %s}"), depth+1))
		}
	}
	return b.String()
}
