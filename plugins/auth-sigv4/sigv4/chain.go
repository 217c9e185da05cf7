package sigv4

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/narthex-io/narthex/sdk"
)

// Environment variables of AWS's SDKs.
const (
	envAccessKey          = "AWS_ACCESS_KEY_ID"
	envAccessKeyOld       = "AWS_ACCESS_KEY"
	envSecretKey          = "AWS_SECRET_ACCESS_KEY"
	envSecretKeyOld       = "AWS_SECRET_KEY"
	envSessionToken       = "AWS_SESSION_TOKEN"
	envRegion             = "AWS_REGION"
	envDefaultRegion      = "AWS_DEFAULT_REGION"
	envProfile            = "AWS_PROFILE"
	envDefaultProfile     = "AWS_DEFAULT_PROFILE"
	envConfigFile         = "AWS_CONFIG_FILE"
	envCredentialsFile    = "AWS_SHARED_CREDENTIALS_FILE"
	envRoleARN            = "AWS_ROLE_ARN"
	envRoleSessionName    = "AWS_ROLE_SESSION_NAME"
	envTokenFile          = "AWS_WEB_IDENTITY_TOKEN_FILE"
	envContainerPath      = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
	envContainerURL       = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
	envContainerToken     = "AWS_CONTAINER_AUTHORIZATION_TOKEN"
	envContainerTokenFile = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
	envMetadataDisabled   = "AWS_EC2_METADATA_DISABLED"
	envMetadataV1Disabled = "AWS_EC2_METADATA_V1_DISABLED"
	envMetadataURL        = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
	envMetadataMode       = "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"
	envEndpoint           = "AWS_ENDPOINT_URL"
	envSTSEndpoint        = "AWS_ENDPOINT_URL_STS"
)

// variables returns the names of all variables that the chain reads.
func variables() []string {
	return []string{
		envAccessKey, envAccessKeyOld, envSecretKey, envSecretKeyOld, envSessionToken, envRegion, envDefaultRegion,
		envProfile, envDefaultProfile, envConfigFile, envCredentialsFile, envRoleARN, envRoleSessionName, envTokenFile,
		envContainerPath, envContainerURL, envContainerToken, envContainerTokenFile, envMetadataDisabled,
		envMetadataV1Disabled, envMetadataURL, envMetadataMode, envEndpoint, envSTSEndpoint,
	}
}

// filesAgain is how long credentials from files are used before the files are read again.
const filesAgain = time.Minute

// chain looks for credentials where AWS's SDKs do, in the same order.
type chain struct {
	config Config
	host   sdk.Host
	now    func() time.Time
}

// env returns the first of the variables that is set.
func (c *chain) env(names ...string) string {
	for _, name := range names {
		if value := c.host.Getenv(name); value != "" {
			return value
		}
	}
	return ""
}

// fetch finds credentials and the region.
func (c *chain) fetch(ctx context.Context) (grant, error) {
	shared, unread := c.readProfiles()
	g, err := c.fetchFrom(ctx, shared)
	if err != nil && unread != nil {
		err = fmt.Errorf("%w (not read: %w)", err, unread)
	}
	return g, err
}

func (c *chain) fetchFrom(ctx context.Context, shared map[string]map[string]string) (grant, error) {
	p, err := c.profile(shared)
	if err != nil {
		return grant{}, err
	}
	region := cmp.Or(c.config.Region, c.env(envRegion, envDefaultRegion), p.get("region"))
	if region == "" {
		return grant{}, errors.New("no AWS region: set region in the section, or AWS_REGION, or region in the profile")
	}
	found, err := c.find(ctx, p, region)
	if err == nil && c.config.RoleARN != "" {
		found, err = c.assumeRole(ctx, found, region, role{
			arn: c.config.RoleARN, externalID: c.config.ExternalID, session: c.config.SessionName, tags: c.config.Tags,
		})
	}
	return grant{credentials: found, region: region}, err
}

// fromEnv returns the credentials of the environment, and whether there are any.
func (c *chain) fromEnv() (credentials, bool) {
	found := credentials{
		accessKey: c.env(envAccessKey, envAccessKeyOld), secretKey: c.env(envSecretKey, envSecretKeyOld), token: c.env(envSessionToken),
	}
	return found, found.accessKey != "" && found.secretKey != ""
}

// find returns the credentials before the section's role is assumed.
func (c *chain) find(ctx context.Context, p profile, region string) (credentials, error) {
	switch {
	case c.config.AccessKey != "":
		return credentials{accessKey: c.config.AccessKey, secretKey: c.config.SecretKey}, nil
	case c.config.Profile != "":
		return c.fromProfile(ctx, p, region)
	}
	if found, ok := c.fromEnv(); ok {
		return found, nil
	}
	if file := c.env(envTokenFile); file != "" {
		return c.assumeWithToken(ctx, region, file, role{arn: c.env(envRoleARN), session: c.env(envRoleSessionName)})
	}
	return c.fromProfile(ctx, p, region)
}

// fromProfile returns the credentials of a profile, or of the machine if it has none, or of its role.
func (c *chain) fromProfile(ctx context.Context, p profile, region string) (credentials, error) {
	r := role{arn: p.get("role_arn"), externalID: p.get("external_id"), session: p.get("role_session_name")}
	token := p.get("web_identity_token_file")
	if token != "" && p.source == nil && !p.hasKeys() && p.get("credential_source") == "" {
		return c.assumeWithToken(ctx, region, token, r)
	}
	found, err := c.before(ctx, p, region)
	if err != nil || r.arn == "" {
		return found, err
	}
	if p.get("mfa_serial") != "" {
		return credentials{}, fmt.Errorf("profile %s: mfa_serial: nobody is there to type a code", p.name)
	}
	if r.seconds, err = p.seconds("duration_seconds"); err != nil {
		return credentials{}, err
	}
	return c.assumeRole(ctx, found, region, r)
}

// before returns the credentials of a profile before its role is assumed.
func (c *chain) before(ctx context.Context, p profile, region string) (credentials, error) {
	switch {
	case p.source != nil:
		return c.fromProfile(ctx, *p.source, region)
	case p.hasKeys():
		return credentials{
			accessKey: p.get("aws_access_key_id"), secretKey: p.get("aws_secret_access_key"), token: p.get("aws_session_token"),
			expires: c.now().Add(filesAgain),
		}, nil
	case p.get("credential_source") != "":
		return c.fromSource(ctx, p)
	}
	for _, field := range []string{"credential_process", "sso_session", "sso_start_url", "login_session"} {
		if p.get(field) != "" {
			return credentials{}, fmt.Errorf("profile %s: %s: a sandboxed plugin cannot use it: give the profile keys or a role, or write access_key and secret_key into the section", p.name, field)
		}
	}
	if c.env(envContainerPath, envContainerURL) != "" {
		return c.fromContainer(ctx)
	}
	found, err := c.fromInstance(ctx)
	if err != nil {
		return credentials{}, fmt.Errorf("no AWS credentials in the section, the environment and the shared files, and none from the machine: %w", err)
	}
	return found, nil
}

// fromSource returns the credentials that credential_source names.
func (c *chain) fromSource(ctx context.Context, p profile) (credentials, error) {
	switch source := p.get("credential_source"); source {
	case "Environment":
		found, ok := c.fromEnv()
		if !ok {
			return credentials{}, fmt.Errorf("profile %s: credential_source is Environment, but %s and %s are not set", p.name, envAccessKey, envSecretKey)
		}
		return found, nil
	case "Ec2InstanceMetadata":
		return c.fromInstance(ctx)
	case "EcsContainer":
		if c.env(envContainerPath, envContainerURL) == "" {
			return credentials{}, fmt.Errorf("profile %s: credential_source is EcsContainer, but neither %s nor %s is set", p.name, envContainerPath, envContainerURL)
		}
		return c.fromContainer(ctx)
	default:
		return credentials{}, fmt.Errorf("profile %s: credential_source: %q is none of EcsContainer, Ec2InstanceMetadata and Environment", p.name, source)
	}
}
