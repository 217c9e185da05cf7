package sigv4

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/narthex-io/narthex/sdk"
)

const (
	// roleSeconds is how long the credentials of a role are asked for, as AWS's SDK for Go does, if nobody says otherwise.
	roleSeconds = 900
	stsTimeout  = 10 * time.Second
	// maxAnswer bounds what is read of an answer.
	maxAnswer = 1 << 20
)

// role is what to assume.
type role struct {
	arn, externalID, session string
	seconds                  int // 0 means the usual
	tags                     map[string]string
}

// assumeRole exchanges credentials for those of a role.
func (c *chain) assumeRole(ctx context.Context, with credentials, region string, r role) (credentials, error) {
	form := url.Values{
		"Action": {"AssumeRole"}, "Version": {"2011-06-15"},
		"RoleArn": {r.arn}, "RoleSessionName": {c.sessionName(r)}, "DurationSeconds": {strconv.Itoa(max(r.seconds, roleSeconds))},
	}
	if r.externalID != "" {
		form.Set("ExternalId", r.externalID)
	}
	for i, key := range slices.Sorted(maps.Keys(r.tags)) {
		member := "Tags.member." + strconv.Itoa(i+1)
		form.Set(member+".Key", key)
		form.Set(member+".Value", r.tags[key])
	}
	return c.askSTS(ctx, form, region, &with)
}

// assumeWithToken exchanges the token in a file, which proves who this is, for the credentials of a role.
func (c *chain) assumeWithToken(ctx context.Context, region, file string, r role) (credentials, error) {
	if r.arn == "" {
		return credentials{}, fmt.Errorf("the token in %s is of no use without a role: set %s, or role_arn in the profile", file, envRoleARN)
	}
	token, err := c.host.Files.ReadFile(file)
	if err != nil {
		return credentials{}, fmt.Errorf("read web identity token: %w", err)
	}
	return c.askSTS(ctx, url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"},
		"RoleArn": {r.arn}, "RoleSessionName": {c.sessionName(r)}, "WebIdentityToken": {string(token)},
	}, region, nil)
}

func (c *chain) sessionName(r role) string {
	if r.session != "" {
		return r.session
	}
	return "narthex-" + strconv.FormatInt(c.now().UnixNano(), 10)
}

// askSTS sends a form to the Security Token Service, signed if there is something to sign with.
func (c *chain) askSTS(ctx context.Context, form url.Values, region string, with *credentials) (credentials, error) {
	action := form.Get("Action")
	r := sdk.Request{
		Method: "POST", URL: c.stsEndpoint(region), Body: []byte(form.Encode()),
		Header: map[string][]string{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}},
	}
	if with != nil {
		digest, at := sha256.Sum256(r.Body), c.now().UTC()
		key := deriveKey(with.secretKey, scope{date: at.Format(dateFormat), region: region, service: "sts"})
		header, err := sign(sdk.AuthRequest{
			Method: r.Method, URL: r.URL, Header: r.Header, BodySHA256: hex.EncodeToString(digest[:]),
		}, *with, key, at)
		if err != nil {
			return credentials{}, fmt.Errorf("%s: %w", action, err)
		}
		maps.Copy(r.Header, header)
	}
	status, body, err := c.ask(ctx, r, stsTimeout)
	if err != nil {
		return credentials{}, fmt.Errorf("%s: %w", action, err)
	}
	if status != 200 {
		return credentials{}, fmt.Errorf("%s: %s answers with status %d: %s: %s", action, r.URL, status,
			element(body, "Code"), element(body, "Message"))
	}
	found := credentials{
		accessKey: element(body, "AccessKeyId"), secretKey: element(body, "SecretAccessKey"), token: element(body, "SessionToken"),
	}
	found.expires, err = time.Parse(time.RFC3339, element(body, "Expiration"))
	if err != nil || found.accessKey == "" || found.secretKey == "" {
		return credentials{}, fmt.Errorf("%s: the answer of %s holds no credentials", action, r.URL)
	}
	return found, nil
}

// stsEndpoint returns where the Security Token Service of a region is.
func (c *chain) stsEndpoint(region string) string {
	if u := c.env(envSTSEndpoint, envEndpoint); u != "" {
		return strings.TrimSuffix(u, "/") + "/"
	}
	domain := "amazonaws.com"
	for prefix, other := range map[string]string{
		"cn-": "amazonaws.com.cn", "eusc-": "amazonaws.eu", "us-iso-": "c2s.ic.gov", "us-isob-": "sc2s.sgov.gov",
		"eu-isoe-": "cloud.adc-e.uk", "us-isof-": "csp.hci.ic.gov",
	} {
		if strings.HasPrefix(region, prefix) {
			domain = other
		}
	}
	host := "sts."
	if c.config.UseFIPSSTSEndpoint && !strings.HasPrefix(region, "us-gov-") { // Those are FIPS endpoints anyway.
		host = "sts-fips."
	}
	return "https://" + host + region + "." + domain + "/"
}

// element returns the text of the first XML element with a name, which is all that is wanted of an answer. A decoder for XML
// would add more to the plugin than all the rest.
func element(body []byte, name string) string {
	_, rest, ok := strings.Cut(string(body), "<"+name+">")
	text, _, end := strings.Cut(rest, "</"+name+">")
	if !ok || !end {
		return ""
	}
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&quot;", `"`, "&#39;", "'", "&apos;", "'", "&amp;", "&").Replace(strings.TrimSpace(text))
}

// ask sends a request and reads the answer.
func (c *chain) ask(ctx context.Context, r sdk.Request, limit time.Duration) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	resp, err := c.host.HTTP.Do(ctx, r)
	if errors.Is(err, context.DeadlineExceeded) {
		return 0, nil, fmt.Errorf("%s does not answer within %s", r.URL, limit)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", r.URL, err)
	}
	defer func() { _ = resp.Body.Close() }() // nothing more is wanted of it
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, nil, fmt.Errorf("read the answer of %s: %w", r.URL, err)
	}
	return resp.Status, body, nil
}

// excerpt returns what fits into an error.
func excerpt(body []byte) string {
	const most = 200
	return strings.ToValidUTF8(string(body[:min(len(body), most)]), "?")
}
