package strictyaml

import (
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// JSON converts a part of a document, as plugins get it.
func JSON(node *yaml.Node) (json.RawMessage, error) {
	var value any
	if err := node.Decode(&value); err != nil {
		line, text := lineOf(err)
		return nil, &Error{Line: line, Err: fmt.Errorf("%s", text)}
	}
	b, err := json.Marshal(value)
	if err != nil {
		return nil, &Error{Line: node.Line, Err: fmt.Errorf("not expressible as JSON: %w", err)}
	}
	return b, nil
}
