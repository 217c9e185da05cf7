package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/narthex-io/narthex/sdk"
)

// filepathLabel holds the path of the file that a target came from.
const filepathLabel = "__meta_filepath"

// entry is one element of a file.
type entry struct {
	Targets []string          `json:"targets" yaml:"targets"`
	Labels  map[string]string `json:"labels"  yaml:"labels"`
}

// Parse returns a group for each entry of a file's content, with the source name:index. The name's extension says
// whether it is JSON or YAML; an empty YAML file has no entries. Unknown fields are errors.
func Parse(name string, content []byte) ([]sdk.Group, error) {
	entries, err := decode(name, content)
	if err != nil {
		return nil, err
	}
	groups := make([]sdk.Group, 0, len(entries))
	for i, e := range entries {
		if e == nil {
			return nil, fmt.Errorf("entry %d is null", i)
		}
		labels := make(map[string]string, len(e.Labels)+1)
		for k, v := range e.Labels {
			if k == "" || !utf8.ValidString(k) || !utf8.ValidString(v) {
				return nil, fmt.Errorf("entry %d: %q: %q is not a valid label", i, k, v)
			}
			labels[k] = v
		}
		labels[filepathLabel] = name
		groups = append(groups, sdk.Group{Source: sourceOf(name, i), Targets: e.Targets, Labels: labels})
	}
	return groups, nil
}

func sourceOf(name string, index int) string { return name + ":" + strconv.Itoa(index) }

func decode(name string, content []byte) ([]*entry, error) {
	var entries []*entry
	switch ext := strings.ToLower(filepath.Ext(name)); ext {
	case ".json":
		d := json.NewDecoder(bytes.NewReader(content))
		d.DisallowUnknownFields()
		if err := d.Decode(&entries); err != nil {
			return nil, fmt.Errorf("decode JSON: %w", err)
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return nil, errors.New("decode JSON: more text after the list")
		}
	case ".yml", ".yaml":
		d := yaml.NewDecoder(bytes.NewReader(content))
		d.KnownFields(true)
		if err := d.Decode(&entries); err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("decode YAML: %w", err)
		}
	default:
		return nil, fmt.Errorf("the extension %q is neither .json nor .yml nor .yaml", ext)
	}
	return entries, nil
}
