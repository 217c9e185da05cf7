package grant

import (
	"fmt"
	"maps"
	"net/http"

	"github.com/narthex-io/narthex/sdk"
)

// credentials are what an operator wrote into a plugin's section for the host to send.
type credentials struct {
	header             http.Header
	username, password string
	basic              bool
}

// takeCredentials removes the fields that asks names as credentials from section.
func takeCredentials(section any, asks sdk.Asks) (credentials, error) {
	c := credentials{header: http.Header{}}
	fields, ok := section.(map[string]any)
	if !ok {
		return c, nil
	}
	take := func(field string) (string, error) {
		v, ok := fields[field]
		if !ok || v == nil {
			return "", nil
		}
		text, ok := v.(string)
		if !ok {
			return "", fmt.Errorf("config field %s: a string is needed here", field) // and its value stays out of the message
		}
		delete(fields, field)
		return text, nil
	}
	for field, name := range asks.Headers {
		value, err := take(field)
		if err != nil {
			return c, err
		}
		if value != "" {
			c.header.Set(name, value)
		}
	}
	if asks.BasicAuth == (sdk.BasicAuth{}) {
		return c, nil
	}
	var err error
	if c.username, err = take(asks.BasicAuth.Username); err != nil {
		return c, err
	}
	c.password, err = take(asks.BasicAuth.Password)
	c.basic = c.username != "" || c.password != ""
	return c, err
}

// fillDefaults sets the fields of section that the operator left out, and returns their names.
func fillDefaults(section any, asks sdk.Asks) (any, []string) {
	if len(asks.Defaults) == 0 {
		return section, nil
	}
	if section == nil {
		section = map[string]any{}
	}
	var filled []string
	if fields, ok := section.(map[string]any); ok {
		for field, value := range asks.Defaults {
			if fields[field] == nil {
				fields[field] = value
				filled = append(filled, field)
			}
		}
	}
	return section, filled
}

// through returns a transport that sends c with each request.
func (c credentials) through(next http.RoundTripper) http.RoundTripper {
	if len(c.header) == 0 && !c.basic {
		return next
	}
	return &authorized{credentials: c, next: next}
}

// authorized adds credentials to requests.
type authorized struct {
	credentials
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (a *authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	maps.Copy(r.Header, a.header)
	if a.basic {
		r.SetBasicAuth(a.username, a.password)
	}
	return a.next.RoundTrip(r)
}

// CloseIdleConnections closes connections that nobody uses.
func (a *authorized) CloseIdleConnections() {
	if c, ok := a.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
