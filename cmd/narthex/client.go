package main

import (
	"context"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"
	"time"

	httpconfig "github.com/prometheus/common/config"
	"github.com/spf13/pflag"

	"github.com/narthex-io/narthex/host/apiclient"
)

// defaultServer is the server that commands ask where none is named.
const defaultServer = "http://localhost:9090"

// serverTimeout bounds requests to a server.
const serverTimeout = 2 * time.Minute

// clientFlags say how servers are asked.
type clientFlags struct {
	httpConfig string
	headers    pairs
}

func (f *clientFlags) addConfig(fs *pflag.FlagSet) {
	fs.StringVar(&f.httpConfig, "http.config.file", "", "file with the settings of the HTTP client, such as basic_auth and tls_config")
}

func (f *clientFlags) addHeaders(fs *pflag.FlagSet) {
	fs.Var(&f.headers, "header", "field of the request's header, as NAME=VALUE; repeatable")
}

// header returns the fields to send.
func (f *clientFlags) header() http.Header {
	h := http.Header{}
	for _, p := range f.headers {
		h.Add(textproto.TrimString(p.name), textproto.TrimString(p.value))
	}
	return h
}

// http returns the HTTP client.
func (f *clientFlags) http() (*http.Client, error) {
	cfg := &httpconfig.HTTPClientConfig{FollowRedirects: true, EnableHTTP2: true}
	if f.httpConfig != "" {
		var err error
		if cfg, _, err = httpconfig.LoadHTTPConfigFile(f.httpConfig); err != nil {
			return nil, fmt.Errorf("--http.config.file %s: %w", f.httpConfig, err)
		}
	}
	client, err := httpconfig.NewClientFromConfig(*cfg, "narthex", httpconfig.WithUserAgent("narthex/"+version))
	if err != nil {
		return nil, fmt.Errorf("make HTTP client: %w", err)
	}
	return client, nil
}

// open returns a client of the server at a URL.
func (f *clientFlags) open(server string) (*apiclient.Client, error) {
	base, err := apiclient.ParseURL(server)
	if err != nil {
		return nil, &usageError{err}
	}
	client, err := f.http()
	if err != nil {
		return nil, err
	}
	return apiclient.New(base, client, f.header()), nil
}

// within bounds what a command that asks a server may take.
func within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, serverTimeout)
}

// pair is a name with a value.
type pair struct{ name, value string }

// pairs is a flag that is given as NAME=VALUE or NAME:VALUE, as often as need be.
type pairs []pair

// Set implements pflag.Value.
func (p *pairs) Set(text string) error {
	i := strings.IndexAny(text, "=:")
	if i <= 0 {
		return fmt.Errorf("%q is not of the form NAME=VALUE", text)
	}
	*p = append(*p, pair{text[:i], text[i+1:]})
	return nil
}

// Type implements pflag.Value.
func (p *pairs) Type() string { return "name=value" }

// String implements pflag.Value.
func (p *pairs) String() string {
	all := make([]string, len(*p))
	for i, one := range *p {
		all[i] = one.name + "=" + one.value
	}
	return strings.Join(all, ",")
}
