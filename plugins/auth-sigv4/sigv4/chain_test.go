package sigv4

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/narthex-io/narthex/sdk"
)

// machine is a host that gives what it holds.
type machine struct {
	env, files map[string]string
	// answer answers requests with a status and a body; nil means that nobody does.
	answer func(r sdk.Request) (int, string)
	// asked are the requests, as METHOD URL.
	asked []string
}

func (m *machine) host() sdk.Host {
	return sdk.Host{Log: slog.New(slog.DiscardHandler), HTTP: m, Files: m, Getenv: func(name string) string { return m.env[name] }}
}

func (m *machine) Do(ctx context.Context, r sdk.Request) (*sdk.Response, error) {
	m.asked = append(m.asked, r.Method+" "+r.URL)
	if m.answer == nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	status, body := m.answer(r)
	return &sdk.Response{Status: status, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func (m *machine) ReadFile(name string) ([]byte, error) {
	text, ok := m.files[name]
	switch {
	case !ok:
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	case text == "forbidden":
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrPermission}
	}
	return []byte(text), nil
}

func (m *machine) Glob(string) ([]string, error)           { panic("not used") }
func (m *machine) Stat(string) (fs.FileInfo, error)        { panic("not used") }
func (m *machine) Changes(context.Context) <-chan struct{} { panic("not used") }

// sts answers as the Security Token Service does; the key tells which role was assumed, and with what.
func sts(r sdk.Request) (int, string) {
	form, err := url.ParseQuery(string(r.Body))
	if err != nil {
		return 400, err.Error()
	}
	if form.Get("RoleArn") == "arn:denied" {
		return 403, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>AccessDenied</Code>` +
			`<Message>&quot;sts:AssumeRole&quot; is not allowed</Message></Error><RequestId>1</RequestId></ErrorResponse>`
	}
	by := form.Get("WebIdentityToken")
	if auth := http.Header(r.Header).Get("Authorization"); auth != "" {
		_, by, _ = strings.Cut(auth, "Credential=")
		by, _, _ = strings.Cut(by, "/")
		by += http.Header(r.Header).Get("X-Amz-Security-Token")
	}
	action := form.Get("Action")
	for _, field := range []string{"ExternalId", "DurationSeconds", "Tags.member.1.Key", "Tags.member.1.Value"} {
		if v := form.Get(field); v != "" && v != "900" {
			by += "," + v
		}
	}
	return 200, fmt.Sprintf(`<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult><AssumedRoleUser>`+
		`<Arn>arn</Arn></AssumedRoleUser><Credentials><AccessKeyId>%[2]s</AccessKeyId><SecretAccessKey>s/+=</SecretAccessKey>`+
		`<SessionToken>t+/=</SessionToken><Expiration>2030-01-01T00:00:00Z</Expiration></Credentials></%[1]sResult></%[1]sResponse>`,
		action, form.Get("RoleArn")+"("+by+")")
}

// metadata answers as an instance, a container's agent and STS do.
func metadata(r sdk.Request) (int, string) {
	header := http.Header(r.Header)
	switch {
	case strings.HasPrefix(r.URL, "https://sts") || strings.HasPrefix(r.URL, "http://sts"):
		return sts(r)
	case r.Method == http.MethodPut && strings.HasSuffix(r.URL, "/latest/api/token"):
		return 200, "v2-token"
	case strings.HasPrefix(r.URL, containerOrigin+"/role") || strings.HasPrefix(r.URL, "http://169.254.170.23/"):
		return 200, `{"AccessKeyId":"container` + header.Get("Authorization") + `","SecretAccessKey":"s","Token":"t","Expiration":"2026-01-01T00:20:00Z"}`
	case sdk.Header(r.Header).Get("X-aws-ec2-metadata-token") != "v2-token":
		return 401, ""
	case strings.HasSuffix(r.URL, "/security-credentials/"):
		return 200, "role-1\n"
	case strings.HasSuffix(r.URL, "/security-credentials/role-1"):
		return 200, `{"Code":"Success","AccessKeyId":"instance","SecretAccessKey":"s","Token":"t","Expiration":"2026-01-01T06:00:00Z"}`
	}
	return 404, ""
}

// TestChain checks where credentials come from. The result is the access key, with the session token and the region.
func TestChain(t *testing.T) {
	check := func(section string, m machine, want string) {
		t.Helper()
		config, err := ParseConfig(sdk.Config(section))
		if err != nil {
			t.Fatal(err)
		}
		if m.answer == nil {
			m.answer = metadata
		}
		c := chain{config: config, host: m.host(), now: func() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }}
		g, err := c.fetch(t.Context())
		got := strings.TrimSpace(g.accessKey+" "+g.token) + " " + g.region
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) || err == nil && got != want {
			t.Errorf("%s\nwith environment %v and files %v is\n%s, want\n%s", section, m.env, m.files, got, want)
		}
	}
	type vars = map[string]string
	with := func(files string, env ...string) machine { // files in one text, each after a line "== NAME"
		m := machine{env: vars{envConfigFile: "config", envCredentialsFile: "credentials"}, files: vars{}}
		for part := range strings.SplitSeq(files, "== ") {
			name, text, _ := strings.Cut(part, "\n")
			m.files[name] = text
		}
		for _, e := range env {
			name, value, _ := strings.Cut(e, "=")
			m.env[name] = value
		}
		return m
	}
	const keysInEnv, secretInEnv = "AWS_ACCESS_KEY_ID=E", "AWS_SECRET_ACCESS_KEY=s"
	shared := "== config\n[default]\nregion = file-1\n[profile p]\nregion = file-2\n== credentials\n[default]\naws_access_key_id = D\naws_secret_access_key = s\n[p]\naws_access_key_id = P\naws_secret_access_key = s\naws_session_token = T\n"

	// The order.
	check(`{"access_key":"S","secret_key":"s","region":"r"}`, with(shared, keysInEnv, secretInEnv), "S r")
	check(`{}`, with(shared, keysInEnv, secretInEnv, "AWS_SESSION_TOKEN=T"), "E T file-1")
	check(`{"profile":"p"}`, with(shared, keysInEnv, secretInEnv), "P T file-2")
	check(`{}`, with(shared, keysInEnv, secretInEnv, "AWS_PROFILE=p"), "E file-2")
	check(`{}`, with(shared, "AWS_PROFILE=p", "AWS_REGION=env-1"), "P T env-1")
	check(`{"region":"r"}`, with(shared, "AWS_DEFAULT_PROFILE=p", "AWS_REGION=env-1"), "P T r")
	check(`{}`, with(shared, "AWS_ACCESS_KEY=O", "AWS_SECRET_KEY=s", "AWS_DEFAULT_REGION=env-2"), "O env-2")
	check(`{}`, with(shared), "D file-1")
	check(`{"region":"r"}`, with(""), "instance t r")
	check(`{"access_key":"S","secret_key":"s","region":"r"}`, with("== config\nforbidden"), "S r")

	// Roles.
	check(`{"role_arn":"arn:a","external_id":"x","tags":{"k":"v"}}`, with(shared), "arn:a(D,x,k,v) t+/= file-1")
	check(`{"region":"r"}`, with("== token\njwt", "AWS_WEB_IDENTITY_TOKEN_FILE=token", "AWS_ROLE_ARN=arn:w"), "arn:w(jwt) t+/= r")
	check(`{"region":"r","role_arn":"arn:b"}`, with("== token\njwt", "AWS_WEB_IDENTITY_TOKEN_FILE=token", "AWS_ROLE_ARN=arn:w"), "arn:b(arn:w(jwt)t+/=) t+/= r")
	role := "== config\n[profile a]\nrole_arn = arn:a\nsource_profile = b\nduration_seconds = 1800\n[profile b]\nrole_arn=arn:b\nsource_profile=c\n[profile c]\naws_access_key_id=C\naws_secret_access_key=s\n"
	check(`{"region":"r","profile":"a"}`, with(role), "arn:a(arn:b(C)t+/=,1800) t+/= r")
	check(`{"region":"r","profile":"a"}`, with("== config\n[profile a]\nrole_arn=arn:a\nsource_profile=a\naws_access_key_id=A\naws_secret_access_key=s"), "arn:a(A) t+/= r")
	check(`{"region":"r","profile":"a"}`, with("== config\n[profile a]\nrole_arn=arn:a\ncredential_source=Environment", keysInEnv, secretInEnv), "arn:a(E) t+/= r")
	check(`{"region":"r","profile":"a"}`, with("== config\n[profile a]\nrole_arn=arn:a\ncredential_source=Ec2InstanceMetadata", keysInEnv, secretInEnv), "arn:a(instancet) t+/= r")
	check(`{"region":"r","profile":"a"}`, with("== config\n[profile a]\nrole_arn=arn:a\nweb_identity_token_file=token\n== token\nx"), "arn:a(x) t+/= r")

	// Containers.
	check(`{"region":"r"}`, with("", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/role/x"), "container t r")
	check(`{"region":"r"}`, with("== token\nsecret", "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.170.23/v1/credentials",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=token"), "containersecret t r")

	// What is wrong.
	check(`{}`, with("== credentials\n[default]\naws_access_key_id=D\naws_secret_access_key=s"), "no AWS region: set region")
	check(`{"profile":"q"}`, with(shared), "there is no profile q in AWS's shared files")
	check(`{"profile":"q"}`, with("== config\nforbidden"), "there is no profile q in AWS's shared files (not read: read config: permission denied)")
	check(`{"region":"r"}`, with("== credentials\n[default]\naws_access_key_id=D"), "profile default: one of aws_access_key_id and aws_secret_access_key is missing")
	check(`{"region":"r","profile":"a"}`, with("== config\n[profile a]\ncredential_process = /bin/x"), "profile a: credential_process: a sandboxed plugin cannot use it")
	check(`{"region":"r","profile":"a"}`, with("== config\n[profile a]\nsource_profile = b"), "source_profile is of no use without role_arn")
	check(`{"region":"r","profile":"a"}`, with("== config\n[profile a]\nrole_arn=x\nsource_profile = b\n[profile b]\nrole_arn=y\nsource_profile=a"), "profile a: it is its own source")
	check(`{"region":"r","profile":"a"}`, with("== config\n[profile a]\nrole_arn=x\nsource_profile = b"), "profile a: source_profile: there is no profile b")
	check(`{"region":"r","profile":"a"}`, with("== config\n[profile a]\nrole_arn=x\ncredential_source=Moon"), `credential_source: "Moon" is none of`)
	check(`{"region":"r","profile":"a"}`, with("== config\n[profile a]\nrole_arn=x\nmfa_serial=1\ncredential_source=Environment", keysInEnv, secretInEnv), "mfa_serial")
	check(`{"region":"r","role_arn":"arn:denied"}`, with("", keysInEnv, secretInEnv), `AssumeRole: https://sts.r.amazonaws.com/ answers with status 403: AccessDenied: "sts:AssumeRole" is not allowed`)
	check(`{"region":"r"}`, with("", "AWS_WEB_IDENTITY_TOKEN_FILE=token", "AWS_ROLE_ARN=a"), "read web identity token: read token: file does not exist")
	check(`{"region":"r"}`, with("", "AWS_WEB_IDENTITY_TOKEN_FILE=token"), "is of no use without a role")
	check(`{"region":"r"}`, with("", "AWS_EC2_METADATA_DISABLED=true"), "no AWS credentials in the section, the environment and the shared files, and none from the machine: the metadata service is turned off")
	check(`{"region":"r"}`, with("", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/nothing"), "status 401")
	no := with("")
	no.answer = func(sdk.Request) (int, string) { return 404, "" }
	check(`{"region":"r"}`, no, "the instance has no role")
	odd := with("")
	odd.answer = func(r sdk.Request) (int, string) {
		if strings.HasSuffix(r.URL, "/role-1") {
			return 200, `{"Code":"Failed","Message":"no"}`
		}
		return metadata(r)
	}
	check(`{"region":"r"}`, odd, `the answer holds no keys (code "Failed", message "no")`)
}

func TestFirstVersionOfMetadata(t *testing.T) {
	m := &machine{env: map[string]string{envMetadataMode: "IPv6"}, answer: func(r sdk.Request) (int, string) {
		switch {
		case r.Method == http.MethodPut:
			return 405, ""
		case strings.HasSuffix(r.URL, "/"):
			return 200, "role"
		}
		return 200, `{"AccessKeyId":"old","SecretAccessKey":"s","Expiration":"2026-01-01T00:00:00Z"}`
	}}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := chain{host: m.host(), now: func() time.Time { return now }}
	found, err := c.fromInstance(t.Context())
	if err != nil || found.accessKey != "old" || !found.expires.Equal(now.Add(minTrust)) {
		t.Errorf("got %+v, %v", found, err)
	}
	want := []string{
		"PUT http://[fd00:ec2::254]/latest/api/token", "GET http://[fd00:ec2::254]/latest/meta-data/iam/security-credentials/",
		"GET http://[fd00:ec2::254]/latest/meta-data/iam/security-credentials/role",
	}
	if !slices.Equal(m.asked, want) {
		t.Errorf("asked %v", m.asked)
	}
	m.env[envMetadataV1Disabled] = "true"
	if _, err := c.fromInstance(t.Context()); err == nil || !strings.Contains(err.Error(), "for a token: status 405") {
		t.Errorf("the first version is asked although it is turned off: %v", err)
	}
}

func TestEndpoint(t *testing.T) {
	check := func(region string, fips bool, env map[string]string, want string) {
		t.Helper()
		c := chain{config: Config{UseFIPSSTSEndpoint: fips}, host: (&machine{env: env}).host()}
		if got := c.stsEndpoint(region); got != want {
			t.Errorf("%s: %s, want %s", region, got, want)
		}
	}
	check("eu-west-1", false, nil, "https://sts.eu-west-1.amazonaws.com/")
	check("us-east-2", true, nil, "https://sts-fips.us-east-2.amazonaws.com/")
	check("us-gov-west-1", true, nil, "https://sts.us-gov-west-1.amazonaws.com/")
	check("cn-north-1", false, nil, "https://sts.cn-north-1.amazonaws.com.cn/")
	check("us-isob-east-1", false, nil, "https://sts.us-isob-east-1.sc2s.sgov.gov/")
	check("eu-west-1", false, map[string]string{envEndpoint: "http://a", envSTSEndpoint: "http://b/"}, "http://b/")
	check("eu-west-1", false, map[string]string{envEndpoint: "http://a"}, "http://a/")
}

func TestINI(t *testing.T) {
	got := parseINI("lost = 1\n[ default ] # one\nRegion=a # comment\nkey : b=c\n  indented = d\ns3 =\n  nested = e\n;x = 1\nquoted = \"q #r\"\n\n[profile  x]\r\nregion = é\r\nno separator\n[broken\n")
	text, err := json.Marshal(got)
	if want := `{"default":{"indented":"d","key":"b=c","quoted":"\"q","region":"a","s3":""},"profile x":{"region":"é"}}`; err != nil || string(text) != want {
		t.Errorf("got %s, want %s", text, want)
	}
}

func FuzzINI(f *testing.F) {
	f.Add("[profile x]\na = b\n  c: d\n[")
	f.Fuzz(func(t *testing.T, text string) {
		for heading, fields := range parseINI(text) {
			for name := range fields {
				if strings.ContainsAny(name, "=\n") || strings.Contains(heading, "]") {
					t.Errorf("%q has a field %q", heading, name)
				}
			}
		}
	})
}

func TestSilence(t *testing.T) {
	m := &machine{}
	c := chain{host: m.host(), now: time.Now}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := c.fromInstance(ctx)
	if err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Error(err)
	}
	if got := excerpt(bytes.Repeat([]byte{'a', 0xff}, 1000)); len(got) > 300 {
		t.Errorf("an error of %d bytes", len(got))
	}
}
