package session

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/narthex-io/narthex/sdk"
)

var (
	namePattern      = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`)
	versionPattern   = regexp.MustCompile(`^[\pL\pN\pP\pS]+( [\pL\pN\pP\pS]+)*$`)
	mediaTypePattern = regexp.MustCompile("^[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+$")
)

// maxVersion is how long a plugin's version may be.
const maxVersion = 64

// validate checks what a guest says about itself, because it ends up in logs, labels and paths of URLs.
func validate(m sdk.Manifest) error {
	if !namePattern.MatchString(m.Name) {
		return fmt.Errorf("plugin name %q does not match %s", m.Name, namePattern)
	}
	if m.Version != "" && (len(m.Version) > maxVersion || !versionPattern.MatchString(m.Version)) {
		return fmt.Errorf("version %.80q is not one line of at most %d bytes", m.Version, maxVersion)
	}
	if strings.ContainsFunc(m.ContentType, unicode.IsControl) {
		return fmt.Errorf("content_type %.80q is no header field's value", m.ContentType)
	}
	if len(m.Kinds) == 0 {
		return errors.New("the manifest names no kind")
	}
	for _, k := range m.Kinds {
		if !slices.Contains(sdk.Kinds(), k) {
			return fmt.Errorf("unknown kind %.80q: this server knows %v", k, sdk.Kinds())
		}
	}
	for _, t := range m.ContentTypes {
		if !mediaTypePattern.MatchString(t) {
			return fmt.Errorf("content_types: %q is no media type such as application/json, in lower case and without parameters", t)
		}
	}
	return nil
}

func chooseKind(m sdk.Manifest, want sdk.Kind) (sdk.Kind, error) {
	if want == "" {
		return m.Kinds[0], nil
	}
	if !slices.Contains(m.Kinds, want) {
		return "", &ConfigError{Plugin: m.Name, Message: fmt.Sprintf("it is a plugin of kind %v, not %s", m.Kinds, want)}
	}
	return want, nil
}
