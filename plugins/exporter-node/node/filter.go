//go:build linux

package node

import (
	"fmt"
	"regexp"
)

// filter decides which names a collector reports.
type filter struct{ include, exclude *regexp.Regexp }

// newFilter makes the filter of the fields <field>_include and <field>_exclude. Only one of them may be set, and the
// default holds when neither is. An empty expression is as good as none.
func newFilter(field string, include, exclude *string, defaultExclude string) (filter, error) {
	if isSet(include) && isSet(exclude) {
		return filter{}, fmt.Errorf("%[1]s_include and %[1]s_exclude: only one of them may be set", field)
	}
	if exclude == nil && !isSet(include) {
		exclude = &defaultExclude
	}
	var f filter
	var err error
	if isSet(include) {
		f.include, err = compile(field+"_include", *include)
	} else if isSet(exclude) {
		f.exclude, err = compile(field+"_exclude", *exclude)
	}
	return f, err
}

func isSet(s *string) bool { return s != nil && *s != "" }

// compile names the field in its error.
func compile(field, expr string) (*regexp.Regexp, error) {
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	return re, nil
}

func (f filter) keeps(name string) bool {
	switch {
	case f.include != nil:
		return f.include.MatchString(name)
	case f.exclude != nil:
		return !f.exclude.MatchString(name)
	default:
		return true
	}
}
