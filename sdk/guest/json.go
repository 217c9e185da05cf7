package guest

import (
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/wire"
)

// appendManifest appends HELLO's payload.
func appendManifest(b []byte, m sdk.Manifest) []byte {
	b = append(b, `{"abi":`...)
	b = strconv.AppendInt(b, wire.ABI, 10)
	b = appendString(append(b, `,"name":`...), m.Name)
	if m.Version != "" {
		b = appendString(append(b, `,"version":`...), m.Version)
	}
	b = appendStrings(append(b, `,"kinds":`...), m.Kinds)
	if len(m.Keys) > 0 {
		b = appendStrings(append(b, `,"keys":`...), m.Keys)
	}
	if m.ContentType != "" {
		b = appendString(append(b, `,"content_type":`...), m.ContentType)
	}
	b = appendStrings(append(b, `,"asks":{"http":`...), m.Asks.HTTP)
	b = appendStrings(append(b, `,"files":`...), m.Asks.Files)
	return append(b, "}}"...)
}

// appendGroups appends GROUPS's payload.
func appendGroups(b []byte, groups []sdk.Group) []byte {
	b = append(b, '[')
	for i, g := range groups {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(append(b, `{"source":`...), g.Source)
		b = appendStrings(append(b, `,"targets":`...), g.Targets)
		if len(g.Labels) > 0 {
			b = append(b, `,"labels":{`...)
			for j, name := range slices.Sorted(maps.Keys(g.Labels)) {
				if j > 0 {
					b = append(b, ',')
				}
				b = append(appendString(b, name), ':')
				b = appendString(b, g.Labels[name])
			}
			b = append(b, '}')
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendStrings[S ~string](b []byte, list []S) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, string(s))
	}
	return append(b, ']')
}

// appendString appends s as a JSON string; bytes that are not UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < 0x20:
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}
