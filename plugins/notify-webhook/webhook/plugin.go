// Package webhook posts alerts as JSON: as the Alertmanager's webhook does, or with a body that the operator describes.
//
// Start with [Plugin], [ParseConfig] and, for the body, [Template]. Requests go through the host, which adds the credentials
// and the TLS settings of the entry; the plugin does not see them. Grouping, and trying again, is the host's.
package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/guest/section"
)

// Plugin returns the plugin for guest.Main.
func Plugin() sdk.Plugin {
	return sdk.Plugin{
		Manifest: sdk.Manifest{
			Name:    "notify-webhook",
			Version: "0.1.0",
			Kinds:   []sdk.Kind{sdk.KindNotify},
			Keys:    []string{"webhook_notify_configs"},
			Asks:    sdk.Asks{HTTP: []string{"url"}},
		},
		NewNotifier: func(c sdk.Config, h sdk.Host) (sdk.Notifier, error) {
			config, err := ParseConfig(c)
			if err != nil {
				return nil, err
			}
			return &notifier{config: config, http: h.HTTP}, nil
		},
	}
}

// Config is one entry of webhook_notify_configs.
type Config struct {
	// URL is posted to.
	URL string
	// Body makes the body; nil posts the batch as it is.
	Body *Template
}

// ParseConfig decodes an entry strictly. Errors name the field.
func ParseConfig(text sdk.Config) (Config, error) {
	var raw struct {
		URL  string     `json:"url"`
		Body sdk.Config `json:"body"`
	}
	if err := section.Decode(text, &raw); err != nil {
		return Config{}, err
	}
	if raw.URL == "" {
		return Config{}, errors.New("url: missing; it is where alerts are posted to")
	}
	u, err := url.Parse(raw.URL)
	switch {
	case err != nil:
		return Config{}, errors.New("url: not a URL") // The library's text holds the URL, which may hold a secret.
	case u.Scheme != "http" && u.Scheme != "https":
		return Config{}, fmt.Errorf("url: the scheme is %q, it must be http or https", u.Scheme)
	case u.Host == "":
		return Config{}, errors.New("url: it names no host")
	}
	c := Config{URL: raw.URL}
	if len(raw.Body) > 0 && string(raw.Body) != "null" {
		if c.Body, err = ParseTemplate(raw.Body); err != nil {
			return Config{}, fmt.Errorf("body%w", err)
		}
	}
	return c, nil
}

type notifier struct {
	config Config
	http   sdk.HTTPClient
}

// hidden returns the error without the path and the query of the URL, which are a secret at many services and do not
// belong into a log.
func (n *notifier) hidden(err error) error {
	u, parseErr := url.Parse(n.config.URL)
	if parseErr != nil || len(u.RequestURI()) < 2 {
		return err
	}
	return errors.New(strings.ReplaceAll(err.Error(), u.RequestURI(), "/…"))
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 512

// Notify implements sdk.Notifier. The id of the batch goes with it as Idempotency-Key.
func (n *notifier) Notify(ctx context.Context, b sdk.Batch) error {
	message, err := b.Message()
	if err != nil {
		return sdk.Rejected(err)
	}
	body := []byte(b)
	if n.config.Body != nil {
		if body, err = n.config.Body.Execute(message); err != nil {
			return sdk.Rejected(fmt.Errorf("make the body: %w", err))
		}
	}
	resp, err := n.http.Do(ctx, sdk.Request{
		Method: "POST", URL: n.config.URL, Body: body,
		Header: map[string][]string{"Content-Type": {"application/json"}, "Idempotency-Key": {message.ID}},
	})
	if err != nil {
		return n.hidden(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.Status/100 == 2 {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // It only explains the status.
	err = fmt.Errorf("the webhook answers with status %d", resp.Status)
	if said := strings.TrimSpace(string(text)); said != "" {
		err = fmt.Errorf("%w: %s", err, said)
	}
	switch resp.Status {
	case 400, 413, 415, 422: // The same body would be refused again. Everything else may heal, a missing permission too.
		return sdk.Rejected(err)
	}
	return err
}
