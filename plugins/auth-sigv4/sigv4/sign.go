package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/narthex-io/narthex/sdk"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	dateFormat = "20060102"
	timeFormat = "20060102T150405Z"
)

// scope is what a signature is good for.
type scope struct{ date, region, service string }

func (s scope) String() string { return s.date + "/" + s.region + "/" + s.service + "/aws4_request" }

// signingKey signs within a scope.
type signingKey struct {
	scope  scope
	secret string
	bytes  []byte
}

func deriveKey(secret string, s scope) signingKey {
	key := []byte("AWS4" + secret)
	for _, part := range []string{s.date, s.region, s.service, "aws4_request"} {
		key = mac(key, part)
	}
	return signingKey{scope: s, secret: secret, bytes: key}
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// sign returns the fields that sign r. Signed are the method, the path, the query, the body, and of the header what AWS asks
// for: the host, the content type and AWS's own fields. Others may be changed on the way, by a proxy or by the client.
func sign(r sdk.AuthRequest, c credentials, key signingKey, at time.Time) (sdk.Header, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, err
	}
	out := sdk.Header{"X-Amz-Date": {at.Format(timeFormat)}}
	if c.token != "" {
		out.Set("X-Amz-Security-Token", c.token)
	}
	names, lines := canonicalHeader(r, u, out)
	request := strings.Join([]string{r.Method, canonicalPath(u), canonicalQuery(u.RawQuery), lines, names, r.BodySHA256}, "\n")
	digest := sha256.Sum256([]byte(request))
	text := strings.Join([]string{algorithm, at.Format(timeFormat), key.scope.String(), hex.EncodeToString(digest[:])}, "\n")
	out.Set("Authorization", fmt.Sprintf("%s Credential=%s/%s, SignedHeaders=%s, Signature=%s",
		algorithm, c.accessKey, key.scope, names, hex.EncodeToString(mac(key.bytes, text))))
	return out, nil
}

// canonicalHeader returns the names of the signed fields and the lines that are signed. added are fields besides r's.
func canonicalHeader(r sdk.AuthRequest, u *url.URL, added sdk.Header) (names, lines string) {
	fields := map[string][]string{}
	for name, values := range r.Header {
		name = strings.ToLower(name)
		if name == "host" || name == "content-type" || strings.HasPrefix(name, "x-amz-") {
			fields[name] = values
		}
	}
	if len(fields["host"]) == 0 {
		fields["host"] = []string{u.Host}
	}
	for name, values := range added {
		fields[strings.ToLower(name)] = values
	}
	sorted := make([]string, 0, len(fields))
	for name := range fields {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	var b strings.Builder
	for _, name := range sorted {
		b.WriteString(name + ":")
		for i, value := range fields[name] {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(strings.Join(strings.FieldsFunc(value, isBlank), " "))
		}
		b.WriteByte('\n')
	}
	return strings.Join(sorted, ";"), b.String()
}

func isBlank(r rune) bool { return r == ' ' || r == '\t' }

// canonicalPath returns the path without empty and dotted steps, quoted once more than it is sent.
func canonicalPath(u *url.URL) string {
	sent := u.EscapedPath()
	clean := path.Clean("/" + sent)
	if clean != "/" && strings.HasSuffix(sent, "/") {
		clean += "/"
	}
	return quote(clean, "/")
}

// canonicalQuery returns the parameters in the order of their quoted names and values.
func canonicalQuery(raw string) string {
	if raw == "" {
		return ""
	}
	var pairs [][2]string
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		pairs = append(pairs, [2]string{requote(name), requote(value)})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int {
		if c := strings.Compare(a[0], b[0]); c != 0 {
			return c
		}
		return strings.Compare(a[1], b[1])
	})
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p[0] + "=" + p[1])
	}
	return b.String()
}

// requote brings a part of a query into the one form that is signed.
func requote(part string) string {
	text, err := url.QueryUnescape(part)
	if err != nil {
		text = part
	}
	return quote(text, "")
}

// quote replaces all bytes but letters, digits, -._~ and those in keep by %XX.
func quote(text, keep string) string {
	const digits = "0123456789ABCDEF"
	b := make([]byte, 0, len(text))
	for i := range len(text) {
		c := text[i]
		switch {
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9',
			strings.IndexByte("-._~", c) >= 0, strings.IndexByte(keep, c) >= 0:
			b = append(b, c)
		default:
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(b)
}
