package wire

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/narthex-io/narthex/sdk"
)

// AppendRequest appends what MethodSign and MethodAuthenticate take: a head whose line is the method, a space and the URL, and
// whose fields are the header, names in order. What a head cannot hold is an error, and so are more fields than a guest reads.
func AppendRequest(dst []byte, r sdk.AuthRequest) ([]byte, error) {
	if r.Method == "" || strings.ContainsRune(r.Method, ' ') {
		return nil, errors.New("method " + strconv.Quote(r.Method) + " is not one word")
	}
	fields, err := HeaderFields(r.Header)
	if err != nil {
		return nil, err
	}
	return Head{Line: r.Method + " " + r.URL, Fields: fields}.Append(dst)
}

// ParseRequest reads what AppendRequest wrote. BodySHA256 and RemoteAddr are not part of it.
func ParseRequest(payload []byte) (sdk.AuthRequest, error) {
	head, _, err := ParseHead(payload)
	if err != nil {
		return sdk.AuthRequest{}, err
	}
	method, url, ok := strings.Cut(head.Line, " ")
	if !ok || method == "" {
		return sdk.AuthRequest{}, errors.New("request line " + strconv.Quote(head.Line) + " is not a method, a space and a URL")
	}
	return sdk.AuthRequest{Method: method, URL: url, Header: head.Header()}, nil
}

// HeaderFields returns h as fields of a head, ordered by name.
func HeaderFields(h sdk.Header) ([]Field, error) {
	names := make([]string, 0, len(h))
	n := 0
	for name, values := range h {
		names = append(names, name)
		n += len(values)
	}
	if n > maxFields {
		return nil, errors.New(strconv.Itoa(n) + " header fields are more than " + strconv.Itoa(maxFields))
	}
	slices.Sort(names)
	fields := make([]Field, 0, n)
	for _, name := range names {
		for _, value := range h[name] {
			fields = append(fields, Field{Name: name, Value: value})
		}
	}
	return fields, nil
}

// Header returns the fields by name.
func (h Head) Header() sdk.Header {
	out := make(sdk.Header, len(h.Fields))
	for _, f := range h.Fields {
		out[f.Name] = append(out[f.Name], f.Value)
	}
	return out
}
