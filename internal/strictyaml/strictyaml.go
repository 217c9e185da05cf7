// Package strictyaml decodes YAML into structs and says of each mistake on which line and in which field it is. It
// knows the tags of go.yaml.in/yaml/v3 and leaves types with an UnmarshalYAML method to them.
//
// Start with [Parse] and [Document.Decode]. Checks that come after decoding return errors made by [At]; the document
// finds their lines.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/narthex-io/narthex/internal/suggest"
)

// Error is a mistake in a document.
type Error struct {
	// Line counts from 1; zero if unknown.
	Line int
	// Path names the field, as in scrape_configs[0].job_name; empty for the document as a whole.
	Path string
	Err  error
}

// Error formats the mistake as LINE: PATH: TEXT, leaving out what is unknown.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Line > 0 {
		fmt.Fprintf(&b, "%d: ", e.Line)
	}
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Err.Error())
	return b.String()
}

// Unwrap returns the mistake itself.
func (e *Error) Unwrap() error { return e.Err }

// At says in which field err is. An err that names a field already gets path in front, and so does each of several
// joined errors. A nil err stays nil.
func At(path string, err error) error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, At(path, e))
		}
		return errors.Join(all...)
	}
	if inner, ok := errors.AsType[*Error](err); ok {
		return &Error{Line: inner.Line, Path: Join(path, inner.Path), Err: inner.Err}
	}
	return &Error{Path: path, Err: err}
}

// Join joins two paths: a field's name with a dot, an index without.
func Join(path, field string) string {
	if path == "" || field == "" || field[0] == '[' {
		return path + field
	}
	return path + "." + field
}

// Index returns the path of an element.
func Index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// Document is a parsed document.
type Document struct{ root *yaml.Node }

// lineOf finds the line in yaml's own messages.
func lineOf(err error) (int, string) {
	m := regexp.MustCompile(`line (\d+): (.*)`).FindStringSubmatch(err.Error())
	if m == nil {
		return 0, strings.TrimPrefix(err.Error(), "yaml: ")
	}
	line, _ := strconv.Atoi(m[1])
	return line, m[2]
}

// Parse reads one document. An empty text is an empty document; a second document is an error.
func Parse(text []byte) (*Document, error) {
	doc, second, err := parse(text)
	if err == nil && second > 0 {
		return nil, &Error{Line: second, Err: errors.New("a second document in the file")}
	}
	return doc, err
}

// ParseFirst is [Parse] for files in which only the first document counts; more tells whether there are others.
func ParseFirst(text []byte) (doc *Document, more bool, err error) {
	doc, second, err := parse(text)
	return doc, second > 0, err
}

// parse reads the first document and returns the line of the second one, zero if there is none.
func parse(text []byte) (doc *Document, second int, err error) {
	if err := checkBytes(text); err != nil {
		return nil, 0, err
	}
	dec := yaml.NewDecoder(strings.NewReader(string(text)))
	var root, more yaml.Node
	if err := dec.Decode(&root); err != nil {
		if root.Kind == 0 && err.Error() == "EOF" {
			return &Document{root: &yaml.Node{Kind: yaml.MappingNode, Line: 1}}, 0, nil
		}
		line, why := lineOf(err)
		line = firstLine(text, why, max(line, 1)) // The library leaves out line 1.
		switch {
		case indentedByTab(text, line):
			why = "a tab indents this line, where YAML takes spaces only"
		case strings.Contains(why, "cannot start any token"):
			why += ": put a text that starts with @, ` or % in quotes, and have spaces instead of tabs after - and :"
		}
		return nil, 0, &Error{Line: line, Err: errors.New(why)}
	}
	if err := dec.Decode(&more); err == nil {
		second = more.Line
	}
	if err := merge(&root, map[*yaml.Node]bool{}); err != nil {
		return nil, 0, err
	}
	node := root.Content[0]
	if node.Kind == yaml.ScalarNode && node.Tag == "!!null" {
		node = &yaml.Node{Kind: yaml.MappingNode, Line: 1}
	}
	return &Document{root: node}, second, nil
}

// firstLine returns the line that does not fit the block around it. Of that mistake the library names the line on which the
// block begins, which may be far above: so it looks up to which line the text has to be read for the mistake to show.
func firstLine(text []byte, mistake string, begin int) int {
	if mistake != "did not find expected key" && mistake != "did not find expected '-' indicator" {
		return begin
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	n := sort.Search(len(lines), func(n int) bool {
		err := yaml.Unmarshal(bytes.Join(lines[:n+1], nil), new(yaml.Node))
		return err != nil && strings.HasSuffix(err.Error(), mistake)
	})
	return max(begin, min(n+1, len(lines)))
}

// indentedByTab tells whether a tab is among what the line, counted from 1, starts with.
func indentedByTab(text []byte, line int) bool {
	lines := bytes.Split(text, []byte("\n"))
	if line > len(lines) {
		return false
	}
	rest := bytes.TrimLeft(lines[line-1], " ")
	return len(rest) > 0 && rest[0] == '\t'
}

// checkBytes finds what no document can hold, since the library does not say where it is. A document in UTF-16 is left to
// the library.
func checkBytes(text []byte) error {
	if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) {
		return nil
	}
	line := 1
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return &Error{Line: line, Err: fmt.Errorf("byte %#x is not valid UTF-8", text[i])}
		case r == '\n':
			line++
		case r < ' ' && r != '\t' && r != '\r':
			return &Error{Line: line, Err: fmt.Errorf("control character %U", r)}
		}
		i += size
	}
	return nil
}

// Decode fills into, a pointer to a struct, whose fields keep what the document does not mention. An unknown field, a
// field given twice or a value of the wrong type is an [Error]; several are joined.
func (d *Document) Decode(into any) error {
	return Decode(d.root, into)
}

// Decode is [Document.Decode] for a part of a document, for use in UnmarshalYAML methods; the paths in its errors
// start at the part.
func Decode(node *yaml.Node, into any) error {
	return decode(node, reflect.ValueOf(into).Elem(), "", false)
}

// Locate adds the line to an error made by [At], that of its field, or of the nearest field around it that the
// document has.
func (d *Document) Locate(err error) error {
	var e *Error
	if !errors.As(err, &e) || e.Line > 0 {
		return err
	}
	return &Error{Line: d.Line(e.Path), Path: e.Path, Err: e.Err}
}

// Line returns the line of a field, or of the nearest field around it that the document has.
func (d *Document) Line(path string) int {
	node, line := d.root, d.root.Line
	for _, step := range strings.FieldsFunc(strings.ReplaceAll(path, "[", ".["), func(r rune) bool { return r == '.' }) {
		node = Resolve(node)
		var next *yaml.Node
		if index, ok := strings.CutPrefix(step, "["); ok {
			i, err := strconv.Atoi(strings.TrimSuffix(index, "]"))
			if err == nil && node.Kind == yaml.SequenceNode && i < len(node.Content) {
				next = node.Content[i]
				line = next.Line
			}
		} else if node.Kind == yaml.MappingNode {
			for i := 0; i < len(node.Content); i += 2 {
				if node.Content[i].Value == step {
					next = node.Content[i+1]
					line = node.Content[i].Line
				}
			}
		}
		if next == nil {
			break
		}
		node = next
	}
	return line
}

// Resolve returns what an alias stands for, and any other node as it is.
func Resolve(node *yaml.Node) *yaml.Node {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	return node
}

// obsoleteUnmarshaler is how types written for yaml/v2, such as those of prometheus/common, decode themselves.
type obsoleteUnmarshaler interface {
	UnmarshalYAML(unmarshal func(any) error) error
}

// decode fills v. With checkOnly, types that decode themselves are looked into, but not asked: what they accept is
// found out elsewhere.
func decode(node *yaml.Node, v reflect.Value, path string, checkOnly bool) error {
	node = Resolve(node)
	if node.Kind == yaml.ScalarNode && node.Tag == "!!null" {
		return nil
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return decode(node, v.Elem(), path, checkOnly)
	}
	switch v.Addr().Interface().(type) {
	case yaml.Unmarshaler:
		if !checkOnly {
			return decodeItself(node, v, path)
		}
		return nil
	case obsoleteUnmarshaler:
		if err := checkObsolete(node, v, path); err != nil {
			return err
		}
		if !checkOnly {
			return decodeItself(node, v, path)
		}
		return nil
	case *yaml.Node:
		v.Set(reflect.ValueOf(*node))
		return nil
	}
	return decode2(node, v, path, checkOnly)
}

// checkObsolete looks into what a type written for yaml/v2 is about to decode, since its own errors name types of Go.
func checkObsolete(node *yaml.Node, v reflect.Value, path string) error {
	switch {
	case v.Kind() == reflect.Struct && hasFields(v.Type()):
		return decode2(node, reflect.New(v.Type()).Elem(), path, true)
	case v.Kind() != reflect.Map && v.Kind() != reflect.Slice && v.Type().Name() != "Duration" && node.Kind != yaml.ScalarNode:
		return &Error{Line: node.Line, Path: path, Err: fmt.Errorf("a string is needed here, not a %s", kindName(node))}
	}
	return nil
}

// hasFields tells the structs that stand for a mapping from those that stand for a single value, such as a URL.
func hasFields(t reflect.Type) bool {
	for field := range t.Fields() {
		if field.Tag.Get("yaml") != "" {
			return true
		}
	}
	return false
}

func decode2(node *yaml.Node, v reflect.Value, path string, checkOnly bool) error {
	switch v.Kind() {
	case reflect.Struct:
		return decodeStruct(node, v, path, checkOnly)
	case reflect.Slice:
		return decodeSlice(node, v, path, checkOnly)
	case reflect.Map:
		return decodeMap(node, v, path, checkOnly)
	default:
		return decodeItself(node, v, path)
	}
}

// decodeItself leaves a value to its own method, or a scalar to the library.
func decodeItself(node *yaml.Node, v reflect.Value, path string) error {
	err := node.Decode(v.Addr().Interface())
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return At(path, err)
	}
	line := node.Line
	var mismatch *yaml.TypeError
	if errors.As(err, &mismatch) && len(mismatch.Errors) > 0 {
		var text string
		if line, text = lineOf(errors.New(mismatch.Errors[0])); line == 0 {
			line = node.Line
		}
		err = errors.New(text)
		if node.Kind == yaml.ScalarNode && v.Kind() == reflect.Struct {
			err = errors.New("a mapping is needed here, not a single value")
		} else if node.Kind == yaml.ScalarNode {
			err = fmt.Errorf("%q is not a %s", node.Value, typeName(v))
			if plain := (&yaml.Node{Kind: yaml.ScalarNode, Value: node.Value}); node.Tag == "!!str" && plain.Decode(reflect.New(v.Type()).Interface()) == nil {
				err = fmt.Errorf("%w: leave out the quotes", err)
			}
		} else if node.Kind != 0 && v.Kind() != reflect.Struct {
			err = fmt.Errorf("a %s is needed here, not a %s", typeName(v), kindName(node))
		}
	}
	return &Error{Line: line, Path: path, Err: err}
}

func typeName(v reflect.Value) string {
	if v.Type().Name() == "Duration" {
		return "duration, such as 30s,"
	}
	switch v.Kind() {
	case reflect.Bool:
		return "boolean: write true or false"
	case reflect.Int, reflect.Int64, reflect.Int32:
		return "whole number"
	case reflect.Uint, reflect.Uint64, reflect.Uint32:
		return "whole number, zero or above"
	case reflect.Float64:
		return "number"
	case reflect.String:
		return "string"
	default:
		return v.Type().Name()
	}
}

func kindName(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "mapping"
	case yaml.SequenceNode:
		return "list"
	default:
		return "single value"
	}
}

func decodeSlice(node *yaml.Node, v reflect.Value, path string, checkOnly bool) error {
	if node.Kind != yaml.SequenceNode {
		return &Error{Line: node.Line, Path: path, Err: fmt.Errorf("a list is needed here, not a %s", kindName(node))}
	}
	list := reflect.MakeSlice(v.Type(), len(node.Content), len(node.Content))
	var errs []error
	for i, item := range node.Content {
		errs = append(errs, decode(item, list.Index(i), Index(path, i), checkOnly))
	}
	v.Set(list)
	return errors.Join(errs...)
}

func decodeMap(node *yaml.Node, v reflect.Value, path string, checkOnly bool) error {
	if node.Kind != yaml.MappingNode {
		return &Error{Line: node.Line, Path: path, Err: fmt.Errorf("a mapping is needed here, not a %s", kindName(node))}
	}
	m := reflect.MakeMapWithSize(v.Type(), len(node.Content)/2)
	var errs []error
	for i := 0; i < len(node.Content); i += 2 {
		name := node.Content[i]
		key := reflect.New(v.Type().Key()).Elem()
		if err := decode(name, key, path, checkOnly); err != nil {
			errs = append(errs, err)
			continue
		}
		if m.MapIndex(key).IsValid() {
			errs = append(errs, &Error{Line: name.Line, Path: Join(path, name.Value), Err: errors.New("given twice")})
			continue
		}
		value := reflect.New(v.Type().Elem()).Elem()
		errs = append(errs, decode(node.Content[i+1], value, Join(path, name.Value), checkOnly))
		m.SetMapIndex(key, value)
	}
	v.Set(m)
	return errors.Join(errs...)
}

func decodeStruct(node *yaml.Node, v reflect.Value, path string, checkOnly bool) error {
	if node.Kind != yaml.MappingNode {
		return &Error{Line: node.Line, Path: path, Err: fmt.Errorf("a mapping is needed here, not a %s", kindName(node))}
	}
	fields, rest := fieldsOf(v)
	seen := map[string]bool{}
	var errs []error
	for i := 0; i < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		at := Join(path, name.Value)
		if seen[name.Value] {
			errs = append(errs, &Error{Line: name.Line, Path: at, Err: errors.New("given twice")})
			continue
		}
		seen[name.Value] = true
		field, ok := fields[name.Value]
		switch {
		case ok:
			errs = append(errs, decode(value, field, at, checkOnly))
		case rest.IsValid():
			if rest.IsNil() {
				rest.Set(reflect.MakeMap(rest.Type()))
			}
			item := reflect.New(rest.Type().Elem()).Elem()
			errs = append(errs, decode(value, item, at, checkOnly))
			rest.SetMapIndex(reflect.ValueOf(name.Value), item)
		default:
			errs = append(errs, &Error{Line: name.Line, Path: at, Err: unknownField(name.Value, fields)})
		}
	}
	return errors.Join(errs...)
}

// fieldsOf returns the fields of a struct by their names in YAML, those of inlined structs included, and the inlined
// map that takes what is left, if there is one.
func fieldsOf(v reflect.Value) (fields map[string]reflect.Value, rest reflect.Value) {
	fields = map[string]reflect.Value{}
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		name, options, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		if !sf.IsExported() || name == "-" {
			continue
		}
		if slices.Contains(strings.Split(options, ","), "inline") {
			if v.Field(i).Kind() == reflect.Map {
				rest = v.Field(i)
				continue
			}
			inner, innerRest := fieldsOf(v.Field(i))
			maps.Copy(fields, inner)
			if innerRest.IsValid() {
				rest = innerRest
			}
			continue
		}
		if name == "" {
			name = strings.ToLower(sf.Name)
		}
		fields[name] = v.Field(i)
	}
	return fields, rest
}

// errUnknownField is what the errors of unknown fields are.
var errUnknownField = errors.New("unknown field")

func unknownField(name string, fields map[string]reflect.Value) error {
	best := suggest.Nearest(name, slices.Collect(maps.Keys(fields)))
	if best != "" {
		return fmt.Errorf("%w; did you mean %s?", errUnknownField, best)
	}
	return errUnknownField
}

// WithoutUnknownFields returns what is left of an error of [Document.Decode] when unknown fields are none.
func WithoutUnknownFields(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var rest []error
		for _, e := range joined.Unwrap() {
			rest = append(rest, WithoutUnknownFields(e))
		}
		return errors.Join(rest...)
	}
	if errors.Is(err, errUnknownField) {
		return nil
	}
	return err
}
