package web

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	toolkit "github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/bcrypt"
)

// CheckConfigFile checks a file that enables TLS and authentication, in the format of Prometheus's exporter toolkit, with
// the certificates and keys that it names. An empty name is no file, which is good.
func CheckConfigFile(name string) error {
	err := toolkit.Validate(name)
	if err == nil {
		return nil
	}
	if text, readErr := os.ReadFile(name); readErr == nil {
		return cmp.Or(badPassword(text), err)
	}
	return err
}

// badPassword names the first user of a file whose password is no bcrypt hash, which the toolkit does not.
func badPassword(text []byte) error {
	var file struct {
		Users yaml.Node `yaml:"basic_auth_users"`
	}
	bad := yaml.Unmarshal(text, &file)
	if bad != nil || file.Users.Kind != yaml.MappingNode {
		return nil //nolint:nilerr // The toolkit has said what is wrong with the file.
	}
	for i := 0; i+1 < len(file.Users.Content); i += 2 {
		user, hash := file.Users.Content[i], file.Users.Content[i+1]
		_, err := bcrypt.Cost([]byte(hash.Value))
		if errors.Is(err, bcrypt.ErrHashTooShort) {
			err = errors.New("the password has to be given as a bcrypt hash, as htpasswd -nBC 10 makes it")
		}
		if err != nil {
			return fmt.Errorf("line %d: basic_auth_users.%s: %w", hash.Line, user.Value, err)
		}
	}
	return nil
}
