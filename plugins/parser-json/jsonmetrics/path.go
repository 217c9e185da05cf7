package jsonmetrics

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/theory/jsonpath"
	"github.com/theory/jsonpath/spec"
)

// path selects nodes: of the document when it is written with $, of the node at hand when it is written with @.
type path struct {
	text     string
	relative bool
	query    *jsonpath.Path
	// steps are those of a path that only names members and elements, which is followed without the library.
	steps    []spec.Selector
	straight bool
}

func parsePath(text string) (*path, error) {
	if text == "" || text[0] != '$' && text[0] != '@' {
		return nil, fmt.Errorf("%q is no JSONPath: it starts with $, the document, or @, the node at hand", text)
	}
	query, err := jsonpath.Parse("$" + text[1:])
	if err != nil {
		return nil, fmt.Errorf("%q: %s", text, strings.TrimPrefix(err.Error(), "jsonpath: "))
	}
	p := &path{text: text, relative: text[0] == '@', query: query, straight: true}
	for _, s := range query.Query().Segments() {
		if s.IsDescendant() || len(s.Selectors()) != 1 {
			p.straight = false
			break
		}
		switch selector := s.Selectors()[0].(type) {
		case spec.Name, spec.Index:
			p.steps = append(p.steps, selector)
		default:
			p.straight = false
		}
	}
	return p, nil
}

// located is a node and where it is in the document.
type located struct {
	value any
	at    spec.NormalizedPath
}

// all returns what the path selects of the document, in an order that depends on nothing else.
func (p *path) all(document any) []located {
	if p.straight {
		value, ok := p.follow(document)
		if !ok {
			return nil
		}
		at := make(spec.NormalizedPath, len(p.steps))
		for i, s := range p.steps {
			at[i] = s.(spec.NormalSelector) //nolint:forcetypeassert // names and indexes are
		}
		return []located{{value, at}}
	}
	found := p.query.SelectLocated(document)
	found.Sort() // Members of an object come in any order.
	out := make([]located, len(found))
	for i, n := range found {
		out[i] = located{n.Node, n.Path}
	}
	return out
}

// one returns the only node that the path selects, where nil is one that is not there.
func (p *path) one(document, node any) (any, error) {
	from := document
	if p.relative {
		from = node
	}
	if p.straight {
		value, _ := p.follow(from)
		return value, nil
	}
	switch found := p.query.Select(from); len(found) {
	case 0:
		return nil, nil
	case 1:
		return found[0], nil
	default:
		return nil, fmt.Errorf("%s selects %d nodes, and only one can be taken", p.text, len(found))
	}
}

// follow goes along the steps.
func (p *path) follow(value any) (any, bool) {
	for _, s := range p.steps {
		switch s := s.(type) {
		case spec.Name:
			object, ok := value.(map[string]any)
			if !ok {
				return nil, false
			}
			if value, ok = object[string(s)]; !ok {
				return nil, false
			}
		case spec.Index:
			list, ok := value.([]any)
			i := int(s)
			if i < 0 {
				i += len(list)
			}
			if !ok || i < 0 || i >= len(list) {
				return nil, false
			}
			value = list[i]
		}
	}
	return value, true
}

// keyPrefix starts a label that is a name on the way to the node: @key is its own, @key[1] that of the one around it.
const keyPrefix = "@key"

// parseKey returns how far up the name is; ok is false if text does not ask for one.
func parseKey(text string) (up int, ok bool, err error) {
	rest, ok := strings.CutPrefix(text, keyPrefix)
	switch {
	case !ok || rest != "" && rest[0] != '[':
		return 0, false, nil
	case rest == "":
		return 0, true, nil
	}
	digits, closed := strings.CutSuffix(rest[1:], "]")
	if up, err = strconv.Atoi(digits); err != nil || !closed || up < 0 {
		return 0, false, fmt.Errorf("%q is not like %s[1], the key of the node around the selected one", text, keyPrefix)
	}
	return up, true, nil
}

var errNoKey = errors.New("the document is not that deep")

// key returns a name, or an index, on the way to a node.
func (n *located) key(up int) (string, error) {
	i := len(n.at) - 1 - up
	if i < 0 {
		return "", errNoKey
	}
	if name, ok := n.at[i].(spec.Name); ok {
		return string(name), nil
	}
	index, _ := n.at[i].(spec.Index)
	return strconv.Itoa(int(index)), nil
}
