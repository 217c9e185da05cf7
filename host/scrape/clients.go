package scrape

import (
	"fmt"
	"net/http"
	"reflect"
	"sync"

	"github.com/narthex-io/narthex/host/httpclient"
)

// NewClient makes the HTTP client of a job for a section of its config. socket, if not empty, is the Unix socket to
// connect to, whatever the address.
type NewClient func(job string, cfg httpclient.Config, socket string) (*http.Client, error)

// clients are the HTTP clients of a job: one for all targets, and one for each credential and each Unix socket, since
// connections are kept by address alone.
type clients struct {
	cfg  *Config
	make NewClient

	mu   sync.Mutex
	made map[clientKey]*http.Client
}

type clientKey struct{ credential, socket string }

// newClients makes those clients that are known to be needed, so that a file that cannot be used is found out.
func newClients(cfg *Config, newClient NewClient) (*clients, error) {
	c := &clients{cfg: cfg, make: newClient, made: map[clientKey]*http.Client{}}
	if _, err := c.of(clientKey{}); err != nil {
		return c, err
	}
	for ref := range cfg.Credentials {
		if _, err := c.of(clientKey{credential: ref}); err != nil {
			return c, fmt.Errorf("credential %q: %w", ref, err)
		}
	}
	return c, nil
}

// of returns the client for targets that are talked to in the same way.
func (c *clients) of(key clientKey) (*http.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if client := c.made[key]; client != nil {
		return client, nil
	}
	cfg, err := c.cfg.credentialOf(key.credential)
	if err != nil {
		return nil, err
	}
	client, err := c.make(c.cfg.JobName, *cfg, key.socket)
	if err != nil {
		return nil, err
	}
	c.made[key] = client
	return client, nil
}

// serve reports whether the clients are those that a config asks for.
func (c *clients) serve(cfg *Config) bool {
	return reflect.DeepEqual(c.cfg.HTTPClient, cfg.HTTPClient) && reflect.DeepEqual(c.cfg.Credentials, cfg.Credentials)
}

// close releases the connections that are idle.
func (c *clients) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, client := range c.made {
		client.CloseIdleConnections()
	}
}
