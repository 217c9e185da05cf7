package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/narthex-io/narthex/host/httpclient"
	"github.com/narthex-io/narthex/host/plugin/grant"
)

// SplitSection does with a plugin's section what a server does before the plugin sees it, for commands that run a plugin alone: it
// takes the fields of the HTTP client out. rest is what the plugin gets, client what its requests go through, nil if there are no
// such fields. Files that the fields name start at dir. Requests that a plugin signs need a server.
func SplitSection(section json.RawMessage, dir string) (rest json.RawMessage, client *http.Client, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(section, &fields); err != nil {
		return nil, nil, fmt.Errorf("a mapping is needed here: %w", err)
	}
	taken := httpclient.TakeJSON(fields)
	if len(taken) == 0 {
		return section, nil, nil
	}
	settings, err := json.Marshal(taken)
	if err != nil {
		return nil, nil, err
	}
	c, err := clientOf(settings, dir)
	if err != nil {
		return nil, nil, err
	}
	if c.Auth != nil {
		return nil, nil, errors.New(c.Auth.Key + ": only a server has plugins sign requests")
	}
	if client, err = httpclient.New(c, httpclient.Options{
		Name: "plugin", Dial: grant.Dial(net.Dialer{Timeout: connectTimeout, KeepAlive: connectTimeout}),
	}); err != nil {
		return nil, nil, err
	}
	rest, err = json.Marshal(fields)
	return rest, client, err
}
