package trust

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"aead.dev/minisign"
)

// secretBytes is the size of a secret key in minisign's format.
const secretBytes = 158

// Secret is a secret key.
type Secret struct{ private minisign.PrivateKey }

// Generate makes a pair of keys.
func Generate() (Key, Secret, error) {
	public, private, err := minisign.GenerateKey(nil)
	return Key{public}, Secret{private}, err
}

// ErrPassword means that a secret key is encrypted and another password is needed.
var ErrPassword = errors.New("wrong password")

// ReadSecret reads a secret key's file, as narthex plugin keygen and minisign write it. password is asked for one that is encrypted.
func ReadSecret(path string, password func() (string, error)) (Secret, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Secret{}, err
	}
	if decodedSize(string(text)) != secretBytes {
		return Secret{}, fmt.Errorf("%s holds no secret key of minisign", path)
	}
	var s Secret
	trimmed := []byte(strings.TrimSpace(string(text)))
	if !minisign.IsEncrypted(trimmed) {
		if err := s.private.UnmarshalText(trimmed); err != nil {
			return Secret{}, fmt.Errorf("%s holds no secret key of minisign", path)
		}
		return s, nil
	}
	given, err := password()
	if err != nil {
		return Secret{}, err
	}
	if s.private, err = minisign.DecryptKey(given, trimmed); err != nil {
		return Secret{}, fmt.Errorf("read secret key %s: %w", path, ErrPassword)
	}
	return s, nil
}

// Encode returns the text of the key's file, encrypted when there is a password.
func (s Secret) Encode(password string) ([]byte, error) {
	var text []byte
	var err error
	if password == "" {
		text, err = s.private.MarshalText()
	} else {
		text, err = minisign.EncryptKey(password, s.private)
	}
	if err != nil {
		return nil, fmt.Errorf("encode secret key: %w", err)
	}
	return append(text, '\n'), nil
}

// Encode returns the text of the key's file.
func (k Key) Encode() ([]byte, error) {
	text, err := k.public.MarshalText()
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	return append(text, '\n'), nil
}

// Key returns the public half.
func (s Secret) Key() Key { return Key{s.private.Public().(minisign.PublicKey)} }

// Sign returns the text of a .minisig file for the content of the file with that name. It is over the content's hash, as minisign
// does by default, or with legacy over the content itself. comment is signed too; empty means time and name, as minisign writes them.
func (s Secret) Sign(content []byte, name, comment string, now time.Time, legacy bool) ([]byte, error) {
	if strings.ContainsAny(comment, "\r\n") {
		return nil, errors.New("the comment has more than one line")
	}
	hashed := "\thashed"
	if legacy {
		hashed = ""
	}
	if comment == "" {
		comment = fmt.Sprintf("timestamp:%d\tfile:%s%s", now.Unix(), filepath.Base(name), hashed)
	}
	const untrusted = "signature of a narthex plugin"
	if legacy {
		return minisign.SignWithComments(s.private, content, comment, untrusted), nil
	}
	r := minisign.NewReader(bytes.NewReader(content))
	if _, err := io.Copy(io.Discard, r); err != nil {
		return nil, err
	}
	return r.SignWithComments(s.private, comment, untrusted), nil
}
