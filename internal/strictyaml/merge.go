package strictyaml

import (
	"errors"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// merge puts what the << keys of the mappings in a document name into these mappings, so that nobody else has to know them.
// What a mapping says itself counts before what is merged, and of several mappings the first. around are the nodes with
// anchors that node is part of: an alias of one of them would have no end.
func merge(node *yaml.Node, around map[*yaml.Node]bool) error {
	if node.Kind == yaml.AliasNode {
		if around[node.Alias] {
			return &Error{Line: node.Line, Err: fmt.Errorf("*%s is part of &%[1]s itself", node.Value)}
		}
		return nil // An anchor comes before its aliases, and has had its turn.
	}
	if node.Anchor != "" {
		around[node] = true
		defer delete(around, node)
	}
	for _, child := range node.Content {
		if err := merge(child, around); err != nil {
			return err
		}
	}
	if node.Kind != yaml.MappingNode {
		return nil
	}
	own := make([]*yaml.Node, 0, len(node.Content))
	var merged []*yaml.Node
	for i := 0; i < len(node.Content); i += 2 {
		if node.Content[i].Tag != "!!merge" {
			own = append(own, node.Content[i], node.Content[i+1])
			continue
		}
		mappings, err := mergedMappings(node.Content[i+1])
		if err != nil {
			return err
		}
		merged = append(merged, mappings...)
	}
	if len(merged) > 0 {
		node.Content = withMissing(own, merged)
	}
	return nil
}

// mergedMappings returns what the value of a << key stands for.
func mergedMappings(value *yaml.Node) ([]*yaml.Node, error) {
	items := []*yaml.Node{value}
	if list := Resolve(value); list.Kind == yaml.SequenceNode {
		items = list.Content
	}
	mappings := make([]*yaml.Node, 0, len(items))
	for _, item := range items {
		m := Resolve(item)
		if m.Kind != yaml.MappingNode {
			return nil, &Error{Line: item.Line, Err: errors.New("<< takes a mapping or a list of mappings, such as *anchor")}
		}
		mappings = append(mappings, m)
	}
	return mappings, nil
}

// withMissing returns the keys and values in own and those in mappings whose keys came not yet.
func withMissing(own, mappings []*yaml.Node) []*yaml.Node {
	seen := map[string]bool{}
	for i := 0; i < len(own); i += 2 {
		seen[own[i].Value] = true
	}
	for _, m := range mappings {
		for i := 0; i < len(m.Content); i += 2 {
			if key := m.Content[i]; !seen[key.Value] {
				seen[key.Value] = true
				own = append(own, key, m.Content[i+1])
			}
		}
	}
	return own
}
