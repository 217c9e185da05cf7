package plugin

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/narthex-io/narthex/sdk"
)

// Use is one place in the config that needs a plugin. Exactly one of Key and Plugin is set.
type Use struct {
	// Kind is what the plugin serves as. Empty means a discovery for a Key such as file_sd_configs, a notifier for one such
	// as webhook_notify_configs, and an exporter for a Plugin; all other kinds have to be named.
	Kind sdk.Kind
	// Key is a claimed key.
	Key string
	// Plugin is the name of an exporter or a parser.
	Plugin string
	// Config is the plugin's section as JSON, without the fields that the host handles itself; empty means {}.
	Config json.RawMessage
	// BaseDir is the folder that relative paths in Config start from, the config file's.
	BaseDir string
	// Position starts the errors about this use: prometheus.yml:12: scrape_configs[0].file_sd_configs[0].
	Position string
	// HTTPFields names the HTTP client's fields that the host took out of the section, such as tls_config. They are a
	// mistake when the plugin does not ask for HTTP.
	HTTPFields []string
	// HTTPClient sends the guest's requests, with the operator's credentials. Nil means a plain client.
	HTTPClient *http.Client
	// HTTPKey changes when what HTTPClient was made from changes. It holds a digest rather than a secret.
	HTTPKey string
	// Empty says that the list below Key has no entries: somebody has to claim the key, but nothing runs. Such uses come last.
	Empty bool
	// Alternatives are names that the operator may have meant, if nobody claims Key.
	Alternatives []string
}

// What ends the keys that plugins claim.
const (
	DiscoveryKeySuffix = "_sd_configs"
	NotifyKeySuffix    = "_notify_configs"
	AuthKeySuffix      = "_auth"
)

// sigv4Key is claimed like a key that ends in AuthKeySuffix.
const sigv4Key = "sigv4"

// IsAuthKey reports whether key is one that plugins for authentication claim: sigv4, and whatever ends in _auth but basic_auth,
// which the host's HTTP client understands.
func IsAuthKey(key string) bool {
	return key == sigv4Key || key != "basic_auth" && keyPattern.MatchString(key) && strings.HasSuffix(key, AuthKeySuffix)
}

// kindsOf returns the kinds whose plugins can claim a key.
func kindsOf(key string) []sdk.Kind {
	switch {
	case strings.HasSuffix(key, DiscoveryKeySuffix):
		return []sdk.Kind{sdk.KindDiscovery}
	case strings.HasSuffix(key, NotifyKeySuffix):
		return []sdk.Kind{sdk.KindNotify}
	case IsAuthKey(key):
		return []sdk.Kind{sdk.KindAuthOutbound, sdk.KindAuthInbound}
	}
	return nil
}

func (u *Use) kind() sdk.Kind {
	switch {
	case u.Kind != "":
		return u.Kind
	case u.Key == "":
		return sdk.KindExporter
	case strings.HasSuffix(u.Key, NotifyKeySuffix):
		return sdk.KindNotify
	default:
		return sdk.KindDiscovery
	}
}

// likelyName is the name that the use's plugin has by convention.
func (u *Use) likelyName() string {
	if u.Key == sigv4Key {
		return "auth-" + sigv4Key
	}
	for suffix, prefix := range map[string]string{DiscoveryKeySuffix: "sd-", NotifyKeySuffix: "notify-", AuthKeySuffix: "auth-"} {
		if name, ok := strings.CutSuffix(u.Key, suffix); ok {
			return prefix + strings.ReplaceAll(name, "_", "-")
		}
	}
	return u.Plugin
}

// name is what the use is about, for errors.
func (u *Use) name() string {
	if u.Key != "" {
		return u.Key
	}
	return string(u.kind()) + " " + u.Plugin
}

func (u *Use) errorf(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if u.Position == "" {
		return fmt.Errorf("%s: %w", u.name(), err)
	}
	return fmt.Errorf("%s: %w", u.Position, err)
}

// fingerprint identifies what a guest is made of: with the same one, a running guest can stay.
func (u *Use) fingerprint(f *file, s Settings) (string, error) {
	text, err := json.Marshal(struct {
		Name, Path, Digest string
		Kind               sdk.Kind
		Config             json.RawMessage
		BaseDir, HTTPKey   string
		Settings           Settings
	}{f.name, f.path, f.digest, u.kind(), u.config(), u.BaseDir, u.HTTPKey, s})
	if err != nil {
		return "", fmt.Errorf("encode the config of plugin %s: %w", f.name, err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

func (u *Use) config() json.RawMessage {
	if len(u.Config) == 0 {
		return json.RawMessage("{}")
	}
	return u.Config
}

// oneCredential returns an error when the section holds a credential of the plugin's own beside one of the HTTP client's.
func (u *Use) oneCredential(asks sdk.Asks) error {
	var section map[string]json.RawMessage
	if err := json.Unmarshal(u.config(), &section); err != nil {
		return nil //nolint:nilerr // the plugin says what is wrong with a section that is no mapping
	}
	own := append(slices.Sorted(maps.Keys(asks.Headers)), asks.BasicAuth.Username, asks.BasicAuth.Password)
	for _, field := range own {
		for _, theirs := range u.HTTPFields {
			credential := IsAuthKey(theirs) || slices.Contains([]string{"basic_auth", "authorization", "oauth2", "bearer_token", "bearer_token_file"}, theirs)
			if _, ok := section[field]; ok && credential {
				return fmt.Errorf("field %s: there is %s too, and only one can be sent; remove one of them", field, theirs)
			}
		}
	}
	return nil
}
