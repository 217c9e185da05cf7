package httpclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	httpconfig "github.com/prometheus/common/config"
	"github.com/prometheus/sigv4"
)

// credentialsTimeout bounds the search for AWS credentials, which may ask the network.
const credentialsTimeout = 10 * time.Second

// Sign has a client sign its requests for AWS. The credentials must be there: those of the section, or of AWS's default
// chain.
func Sign(ctx context.Context, client *http.Client, cfg *sigv4.SigV4Config) error {
	ctx, cancel := context.WithTimeout(ctx, credentialsTimeout)
	defer cancel()
	signing, err := sigv4.NewSigV4RoundTripper(cfg, client.Transport, sigv4.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("sign for AWS: %w", err)
	}
	client.Transport = signing
	return nil
}

// CheckSigned checks the fields of a section whose requests are signed for AWS: there may be no other credentials.
func CheckSigned(c *httpconfig.HTTPClientConfig) error {
	if c.BasicAuth != nil || c.Authorization != nil || c.OAuth2 != nil {
		return errors.New("at most one of basic_auth, authorization, oauth2 and sigv4 may be configured")
	}
	return nil
}
