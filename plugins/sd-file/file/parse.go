package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/guest/httpsd"
)

// filepathLabel holds the path of the file that a target came from.
const filepathLabel = "__meta_filepath"

// Parse returns a group for each entry of a file's content, with the source name:index. The name's extension says
// whether it is JSON or YAML; an empty YAML file has no entries. Unknown fields are errors.
func Parse(name string, content []byte) ([]sdk.Group, error) {
	entries, err := decode(name, content)
	if err != nil {
		return nil, err
	}
	groups := make([]sdk.Group, len(entries))
	for i, e := range entries {
		groups[i] = e.Group(sourceOf(name, i), filepathLabel, name)
	}
	return groups, nil
}

func sourceOf(name string, index int) string { return name + ":" + strconv.Itoa(index) }

func decode(name string, content []byte) ([]*httpsd.Entry, error) {
	switch ext := strings.ToLower(filepath.Ext(name)); ext {
	case ".json":
		return httpsd.Parse(content)
	case ".yml", ".yaml":
		d := yaml.NewDecoder(bytes.NewReader(content))
		d.KnownFields(true)
		var entries []*httpsd.Entry
		if err := d.Decode(&entries); err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("decode YAML: %w", err)
		}
		return entries, httpsd.Check(entries)
	default:
		return nil, fmt.Errorf("the extension %q is neither .json nor .yml nor .yaml", ext)
	}
}
