package sigv4

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/guest/section"
)

// Config is the section sigv4, with the fields and the rules that it has in Prometheus.
type Config struct {
	// Region is the AWS region. Empty means the one of the environment or of the profile.
	Region string `json:"region"`
	// AccessKey and SecretKey are given both or not at all. Without them the default chain finds credentials.
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
	// Profile is one in AWS's shared files. Given here, it comes before the credentials of the environment.
	Profile string `json:"profile"`
	// RoleARN is a role to assume with the credentials that were found.
	RoleARN string `json:"role_arn"`
	// ExternalID, SessionName and Tags go with RoleARN.
	ExternalID  string            `json:"external_id"`
	SessionName string            `json:"session_name"`
	Tags        map[string]string `json:"tags"`
	// UseFIPSSTSEndpoint has roles assumed at the FIPS endpoint of STS.
	UseFIPSSTSEndpoint bool `json:"use_fips_sts_endpoint"`
	// ServiceName is the service that requests are signed for. Empty means aps, Amazon's managed Prometheus.
	ServiceName string `json:"service_name"`
}

// What AWS takes as the tag of a session.
const (
	maxTagKey   = 128
	maxTagValue = 256
)

var sessionNamePattern = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

// ParseConfig decodes a section strictly. Errors name the field.
func ParseConfig(text sdk.Config) (Config, error) {
	var c Config
	if err := section.Decode(text, &c); err != nil {
		return Config{}, err
	}
	return c, c.validate()
}

func (c *Config) validate() error {
	switch {
	case c.AccessKey == "" && c.SecretKey != "":
		return errors.New("access_key: missing; secret_key is of no use without it")
	case c.AccessKey != "" && c.SecretKey == "":
		return errors.New("secret_key: missing; access_key is of no use without it")
	case c.SessionName != "" && !sessionNamePattern.MatchString(c.SessionName):
		return fmt.Errorf("session_name: %q is not made of 2 to 64 letters, digits and _+=,.@-", c.SessionName)
	}
	if c.RoleARN == "" {
		for field, given := range map[string]bool{"external_id": c.ExternalID != "", "session_name": c.SessionName != "", "tags": len(c.Tags) > 0} {
			if given {
				return fmt.Errorf("%s: it is of no use without role_arn", field)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.Tags)) {
		switch value := c.Tags[key]; {
		case key == "":
			return errors.New("tags: a tag's key is empty")
		case len(key) > maxTagKey:
			return fmt.Errorf("tags: the key %q is longer than %d bytes", key, maxTagKey)
		case len(value) > maxTagValue:
			return fmt.Errorf("tags: the value of %q is longer than %d bytes", key, maxTagValue)
		}
	}
	return nil
}

func (c *Config) service() string {
	if c.ServiceName == "" {
		return "aps"
	}
	return c.ServiceName
}
