package guest

import (
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/wire"
)

// encodeManifest returns HELLO's payload.
func encodeManifest(m sdk.Manifest) []byte {
	b := strconv.AppendInt([]byte(`{"abi":`), wire.ABI, 10)
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
	if len(m.ContentTypes) > 0 {
		b = appendStrings(append(b, `,"content_types":`...), m.ContentTypes)
	}
	b = appendStrings(append(b, `,"asks":{"http":`...), m.Asks.HTTP)
	b = appendStrings(append(b, `,"files":`...), m.Asks.Files)
	if len(m.Asks.DNS) > 0 {
		b = appendStrings(append(b, `,"dns":`...), m.Asks.DNS)
	}
	if len(m.Asks.Dial) > 0 {
		b = appendStrings(append(b, `,"dial":`...), m.Asks.Dial)
	}
	if len(m.Asks.Env) > 0 {
		b = appendStrings(append(b, `,"env":`...), m.Asks.Env)
	}
	if len(m.Asks.Defaults) > 0 {
		b = appendMap(append(b, `,"defaults":`...), m.Asks.Defaults)
	}
	if len(m.Asks.Headers) > 0 {
		b = appendMap(append(b, `,"headers":`...), m.Asks.Headers)
	}
	if basic := m.Asks.BasicAuth; basic != (sdk.BasicAuth{}) {
		b = appendString(append(b, `,"basic_auth":{"username":`...), basic.Username)
		b = append(appendString(append(b, `,"password":`...), basic.Password), '}')
	}
	b = append(b, '}')
	if m.Shared {
		b = append(b, `,"shared":true`...)
	}
	return append(b, '}')
}

// encodeGroups returns GROUPS's payload.
func encodeGroups(groups []sdk.Group) []byte {
	const usual = 256 // bytes of an entry
	b := append(make([]byte, 0, 2+usual*len(groups)), '[')
	for i, g := range groups {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(append(b, `{"source":`...), g.Source)
		b = appendStrings(append(b, `,"targets":`...), g.Targets)
		if len(g.Labels) > 0 {
			b = appendMap(append(b, `,"labels":`...), g.Labels)
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendMap appends m with its keys in order.
func appendMap(b []byte, m map[string]string) []byte {
	const usual = 16 // labels of a target
	names := slices.AppendSeq(make([]string, 0, usual), maps.Keys(m))
	slices.Sort(names)
	b = append(b, '{')
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, name), ':')
		b = appendString(b, m[name])
	}
	return append(b, '}')
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
	plain := 0 // start of what is copied as it is
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		b = append(b, s[plain:i]...)
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = utf8.AppendRune(b, r)
		}
		i += size
		plain = i
	}
	return append(append(b, s[plain:]...), '"')
}
