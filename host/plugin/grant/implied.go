package grant

import (
	"bufio"
	"bytes"
	"cmp"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Implied is what the name of a section grants to the plugin that claims it, because Prometheus defines what the section reads:
// an operator who writes it means that.
type Implied struct {
	// Env are names of environment variables.
	Env []string
	// HTTP are origins that are reached through the proxy of the environment, Local those that are reached without one.
	HTTP, Local []string
	// Files are paths.
	Files []string

	// set are values of variables that are not in the environment.
	set map[string]string
}

// ImpliedBy returns what a section under key grants, as far as the environment decides about it; the zero value for all keys
// but sigv4. section is the section's content as decoded JSON.
func ImpliedBy(key string, section any, getenv func(string) string) Implied {
	if key != "sigv4" {
		return Implied{}
	}
	fields, _ := section.(map[string]any)
	region, _ := fields["region"].(string)
	return awsChain(region, getenv)
}

// awsVariables are those with which AWS's SDKs look for credentials.
var awsVariables = []string{ //nolint:gochecknoglobals // constant table
	"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN",
	"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE",
	"AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE",
	"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
	"AWS_EC2_METADATA_DISABLED", "AWS_EC2_METADATA_V1_DISABLED", "AWS_EC2_METADATA_SERVICE_ENDPOINT",
	"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS",
}

// awsChain is what AWS's default chain of credentials reads: variables, the shared files and what they name, the services on the
// machine that hand out credentials, and the Security Token Service of the regions in question.
func awsChain(region string, getenv func(string) string) Implied {
	home := cmp.Or(getenv("HOME"), getenv("USERPROFILE"))
	file := func(variable, name string) string {
		if path := getenv(variable); path != "" || home == "" {
			return path
		}
		return filepath.Join(home, ".aws", name)
	}
	config, credentials := file("AWS_CONFIG_FILE", "config"), file("AWS_SHARED_CREDENTIALS_FILE", "credentials")
	out := Implied{
		Env: slices.Clone(awsVariables),
		set: map[string]string{"AWS_CONFIG_FILE": config, "AWS_SHARED_CREDENTIALS_FILE": credentials},
	}
	regions := []string{region, getenv("AWS_REGION"), getenv("AWS_DEFAULT_REGION")}
	out.Files = []string{config, credentials, getenv("AWS_WEB_IDENTITY_TOKEN_FILE"), getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")}
	for _, path := range []string{config, credentials} {
		regions = append(regions, mentioned(path, "region")...)
		out.Files = append(out.Files, mentioned(path, "web_identity_token_file")...)
	}
	out.Files = compact(out.Files)
	if endpoint := cmp.Or(getenv("AWS_ENDPOINT_URL_STS"), getenv("AWS_ENDPOINT_URL")); endpoint != "" {
		out.HTTP = []string{endpoint}
	} else {
		for _, r := range compact(regions) {
			out.HTTP = append(out.HTTP, stsOf(r)...)
		}
	}
	out.Local = awsLocal(getenv)
	return out
}

// awsLocal returns where credentials are handed out on the machine.
func awsLocal(getenv func(string) string) []string {
	local := []string{cmp.Or(getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT"), "http://169.254.169.254"), "http://[fd00:ec2::254]", "http://169.254.170.2"}
	if strings.EqualFold(getenv("AWS_EC2_METADATA_DISABLED"), "true") {
		local = local[2:]
	}
	// Without TLS only addresses that do not lead off the machine, as AWS's SDKs have it.
	u, err := url.Parse(getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI"))
	if err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && isLocal(u.Hostname())) {
		local = append(local, u.Scheme+"://"+u.Host)
	}
	return local
}

// isLocal reports whether a host is this machine, or the agent that hands out credentials to a container.
func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip.IsLoopback() ||
		slices.Contains([]string{"169.254.170.2", "169.254.170.23", "fd00:ec2::23"}, ip.String())
}

// stsOf returns the origins of the Security Token Service in a region.
func stsOf(region string) []string {
	domain := "amazonaws.com"
	for prefix, other := range map[string]string{
		"cn-": "amazonaws.com.cn", "eusc-": "amazonaws.eu", "us-iso-": "c2s.ic.gov", "us-isob-": "sc2s.sgov.gov",
		"eu-isoe-": "cloud.adc-e.uk", "us-isof-": "csp.hci.ic.gov",
	} {
		if strings.HasPrefix(region, prefix) {
			domain = other
		}
	}
	if strings.Trim(region, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return nil // It would change where the name leads.
	}
	return []string{"https://sts." + region + "." + domain, "https://sts-fips." + region + "." + domain}
}

// mentioned returns the values of a field in all sections of one of AWS's shared files. A file that cannot be read has none.
func mentioned(path, field string) []string {
	const most = 1 << 20
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() > most {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var values []string
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), "=")
		if ok && strings.EqualFold(strings.TrimSpace(name), field) {
			value, _, _ = strings.Cut(value, " #")
			values = append(values, strings.Trim(strings.TrimSpace(value), `"'`))
		}
	}
	return values
}

// compact returns the texts that are not empty, each once, in their order.
func compact(texts []string) []string {
	var out []string
	for _, t := range texts {
		if t != "" && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}
