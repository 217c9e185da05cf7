package sigv4

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/narthex-io/narthex/sdk"
)

const (
	// containerOrigin is where containers of ECS get credentials.
	containerOrigin = "http://169.254.170.2"
	// metadataOrigin and metadataOrigin6 are where instances of EC2 ask about themselves.
	metadataOrigin  = "http://169.254.169.254"
	metadataOrigin6 = "http://[fd00:ec2::254]"

	// metadataTimeout bounds a request to the machine. Where there is no such service, nobody answers.
	metadataTimeout = 2 * time.Second
	// maxTrust is for how long the credentials of an instance are used without asking again; minTrust for how long they are used
	// when they are about to expire and the service has no others, which happens when it is cut off.
	maxTrust = time.Hour
	minTrust = 10 * time.Minute
)

// handout is the answer of the services on the machine.
type handout struct {
	Code, Message   string
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string
	Token           string
	Expiration      time.Time
}

func (h *handout) credentials() (credentials, error) {
	if h.AccessKeyID == "" || h.SecretAccessKey == "" {
		return credentials{}, fmt.Errorf("the answer holds no keys (code %q, message %q)", h.Code, h.Message)
	}
	return credentials{accessKey: h.AccessKeyID, secretKey: h.SecretAccessKey, token: h.Token, expires: h.Expiration}, nil
}

// fromContainer asks the container's agent: that of ECS, or of EKS.
func (c *chain) fromContainer(ctx context.Context) (credentials, error) {
	from := c.env(envContainerURL)
	if path := c.env(envContainerPath); path != "" {
		from = containerOrigin + path
	}
	u, err := url.Parse(from)
	if err != nil || u.Host == "" {
		return credentials{}, fmt.Errorf("%s: %q is not a URL", envContainerURL, from)
	}
	token := c.env(envContainerToken)
	if file := c.env(envContainerTokenFile); file != "" {
		text, err := c.host.Files.ReadFile(file)
		if err != nil {
			return credentials{}, fmt.Errorf("%s: %w", envContainerTokenFile, err)
		}
		token = string(text)
	}
	if strings.ContainsAny(token, "\r\n") {
		return credentials{}, errors.New("the token for the container's credentials holds a line break")
	}
	header := map[string][]string{}
	if token != "" {
		header["Authorization"] = []string{token}
	}
	var out handout
	if err := c.askJSON(ctx, from, header, &out); err != nil {
		return credentials{}, fmt.Errorf("ask for the container's credentials: %w", err)
	}
	found, err := out.credentials()
	if err != nil {
		return credentials{}, fmt.Errorf("ask %s for the container's credentials: %w", from, err)
	}
	return found, nil
}

// fromInstance asks the instance's metadata service, in its second version, and in its first one where there is no other.
func (c *chain) fromInstance(ctx context.Context) (credentials, error) {
	if strings.EqualFold(c.env(envMetadataDisabled), "true") {
		return credentials{}, errors.New("the metadata service is turned off by " + envMetadataDisabled)
	}
	base := strings.TrimSuffix(c.env(envMetadataURL), "/")
	switch {
	case base != "":
	case strings.EqualFold(c.env(envMetadataMode), "IPv6"):
		base = metadataOrigin6
	default:
		base = metadataOrigin
	}
	header, err := c.metadataToken(ctx, base)
	if err != nil {
		return credentials{}, err
	}
	const path = "/latest/meta-data/iam/security-credentials/"
	status, body, err := c.ask(ctx, sdk.Request{Method: "GET", URL: base + path, Header: header}, metadataTimeout)
	switch {
	case err != nil:
		return credentials{}, fmt.Errorf("ask the metadata service: %w", err)
	case status == 404:
		return credentials{}, errors.New("ask the metadata service: the instance has no role")
	case status != 200:
		return credentials{}, fmt.Errorf("ask the metadata service: status %d", status)
	}
	role, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	if role == "" {
		return credentials{}, errors.New("ask the metadata service: the instance has no role")
	}
	var out handout
	if err := c.askJSON(ctx, base+path+url.PathEscape(role), header, &out); err != nil {
		return credentials{}, fmt.Errorf("ask the metadata service: %w", err)
	}
	found, err := out.credentials()
	if err != nil {
		return credentials{}, fmt.Errorf("ask the metadata service for role %s: %w", role, err)
	}
	return c.trust(found), nil
}

// trust puts the end of an instance's credentials to where it is time to ask again.
func (c *chain) trust(found credentials) credentials {
	now := c.now()
	switch left := found.expires.Sub(now); {
	case found.expires.IsZero() || left > maxTrust:
		found.expires = now.Add(maxTrust)
	case left < minTrust:
		found.expires = now.Add(minTrust)
	}
	return found
}

// metadataToken returns the header for requests to the metadata service.
func (c *chain) metadataToken(ctx context.Context, base string) (map[string][]string, error) {
	status, body, err := c.ask(ctx, sdk.Request{
		Method: "PUT", URL: base + "/latest/api/token", Header: map[string][]string{"X-aws-ec2-metadata-token-ttl-seconds": {"300"}},
	}, metadataTimeout)
	if err == nil && status == 200 {
		return map[string][]string{"X-aws-ec2-metadata-token": {strings.TrimSpace(string(body))}}, nil
	}
	if err == nil {
		err = fmt.Errorf("status %d", status)
	}
	if strings.EqualFold(c.env(envMetadataV1Disabled), "true") || status == 400 || status == 401 {
		return nil, fmt.Errorf("ask the metadata service for a token: %w", err)
	}
	return map[string][]string{}, nil
}

// askJSON decodes what is found at a URL.
func (c *chain) askJSON(ctx context.Context, from string, header map[string][]string, into any) error {
	status, body, err := c.ask(ctx, sdk.Request{Method: "GET", URL: from, Header: header}, metadataTimeout)
	if err != nil {
		return err
	}
	if status != 200 {
		return fmt.Errorf("%s: status %d: %s", from, status, excerpt(body))
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s: the answer is not what was expected: %w", from, err)
	}
	return nil
}
