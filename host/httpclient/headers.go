package httpclient

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/narthex-io/narthex/internal/strictyaml"
)

// CheckHeaders checks a section headers, whose fields are sent with each remote read or remote write: those that the client, or
// what signs its requests, sets itself are refused. Errors are of package strictyaml, with the names of the fields as paths.
func CheckHeaders(headers map[string]string) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		lower := strings.ToLower(name)
		switch {
		case lower == "authorization":
			errs = append(errs, strictyaml.At(name, errors.New("the authorization header must be changed via the basic_auth, authorization, oauth2, or sigv4 parameter")))
		case slices.Contains(reservedHeaders(), lower):
			errs = append(errs, strictyaml.At(name, fmt.Errorf("%s is a reserved header: it must not be changed", name)))
		case !httpguts.ValidHeaderFieldName(name):
			errs = append(errs, strictyaml.At(name, fmt.Errorf("%q is not a valid name of a header", name)))
		case !httpguts.ValidHeaderFieldValue(headers[name]):
			errs = append(errs, strictyaml.At(name, errors.New("the value has characters that a header cannot have")))
		}
	}
	return errors.Join(errs...)
}

// reservedHeaders are those that requests have anyway, in lower case; the last three are of signatures.
func reservedHeaders() []string {
	return []string{
		"host", "content-encoding", "content-length", "content-type", "user-agent", "connection", "keep-alive", "proxy-authenticate",
		"proxy-authorization", "www-authenticate", "accept-encoding", "x-prometheus-remote-write-version", "x-prometheus-remote-read-version",
		"x-amz-date", "x-amz-security-token", "x-amz-content-sha256",
	}
}
