// Package trust tells who signed a plugin's file: ed25519 signatures in the format of minisign, in a file of the same name
// with .minisig at its end, made by narthex plugin sign or by minisign itself.
//
// Start with [ParseKey] and [Keys.Examine], which the catalogue asks before anything of a plugin runs; [Generate], [ReadSecret] and
// [Secret.Sign] are an author's side. What to do about a file that nobody trusted has signed is the caller's to decide.
package trust

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"aead.dev/minisign"
)

// Extension ends the name of the file that holds a plugin's signature, after the whole name of the plugin's file.
const Extension = ".minisig"

// maxSignatureBytes bounds what is read of a signature's file; a real one has some 300 bytes.
const maxSignatureBytes = 64 << 10

// Key is a public key.
type Key struct{ public minisign.PublicKey }

// ParseKey reads a public key: the line that starts with RW, or the whole file that it stands in.
func ParseKey(text string) (Key, error) {
	var k Key
	if err := k.public.UnmarshalText([]byte(strings.TrimSpace(text))); err != nil {
		return Key{}, errors.New("this is no public key of minisign: write the line of the key file that starts with RW")
	}
	return k, nil
}

// ReadKey reads a public key's file.
func ReadKey(path string) (Key, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Key{}, err
	}
	k, err := ParseKey(string(text))
	if err != nil {
		return Key{}, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

// String returns the key as one line, as it stands in its file.
func (k Key) String() string { return k.public.String() }

// ID names the key as minisign does, in 16 hexadecimal digits. It is a hint, not a fingerprint.
func (k Key) ID() string { return keyID(k.public.ID()) }

func keyID(id uint64) string { return fmt.Sprintf("%016X", id) }

// Equal reports whether two keys are the same.
func (k Key) Equal(other Key) bool { return k.public.Equal(other.public) }

// State says what a file's signature is worth.
type State string

// States of a signature.
const (
	// StateUnsigned means that there is no signature.
	StateUnsigned State = "unsigned"
	// StateTrusted means that a trusted key signed exactly this content.
	StateTrusted State = "trusted"
	// StateUnknown means that the signature is of a key that is not among the trusted ones.
	StateUnknown State = "unknown_key"
	// StateWrong means that the signature does not belong to this content, or is none.
	StateWrong State = "wrong"
)

// Signature is what is known about a file's signature.
type Signature struct {
	State State `json:"state"`
	// KeyID names the key that the signature says it is of.
	KeyID string `json:"keyId,omitempty"`
	// Comment is what the signer wrote and signed; only that of a trusted signature is known.
	Comment string `json:"comment,omitempty"`
	// Problem says what is wrong when the state is neither trusted nor unsigned.
	Problem string `json:"problem,omitempty"`
}

// Keys are the keys that are trusted.
type Keys []Key

// IDs lists the keys' names.
func (k Keys) IDs() []string {
	ids := make([]string, len(k))
	for i := range k {
		ids[i] = k[i].ID()
	}
	return ids
}

// Signed reports whether there is a signature beside the file at path.
func Signed(path string) bool {
	_, err := os.Stat(path + Extension)
	return !errors.Is(err, fs.ErrNotExist)
}

// Examine says what the signature beside the file at path is worth for that file's content.
func (k Keys) Examine(path string, content []byte) Signature {
	file := path + Extension
	text, err := readSmall(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Signature{State: StateUnsigned}
	}
	if err != nil {
		return Signature{State: StateWrong, Problem: err.Error()}
	}
	return k.Verify(content, text, file)
}

// Verify says what a signature, the text of a .minisig file, is worth for a content. name is the signature's in problems.
func (k Keys) Verify(content, signature []byte, name string) Signature {
	var s minisign.Signature
	if err := s.UnmarshalText(signature); err != nil {
		return Signature{State: StateWrong, Problem: name + " is no signature of minisign"}
	}
	out := Signature{KeyID: keyID(s.KeyID)}
	for _, key := range k {
		if key.public.ID() != s.KeyID {
			continue
		}
		if minisign.Verify(key.public, content, signature) {
			out.State, out.Comment = StateTrusted, s.TrustedComment
			return out
		}
		out.Problem = fmt.Sprintf("%s is of key %s, but not for this content: the file or the signature was changed after signing", name, out.KeyID)
		out.State = StateWrong
	}
	if out.State == "" {
		out.State = StateUnknown
		out.Problem = fmt.Sprintf("%s is of key %s, which is not trusted", name, out.KeyID)
	}
	return out
}

// readSmall reads a file that has to be small.
func readSmall(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxSignatureBytes {
		return nil, fmt.Errorf("%s is no signature of minisign", path)
	}
	return os.ReadFile(path)
}

// Add returns k with more keys, without duplicates.
func (k Keys) Add(more ...Key) Keys {
	all := slices.Clone(k)
	for _, key := range more {
		if !slices.ContainsFunc(all, key.Equal) {
			all = append(all, key)
		}
	}
	return all
}

// decodedSize is how many bytes the last line of a key's file holds, or 0 when it is no base64.
func decodedSize(text string) int {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(lines[len(lines)-1]))
	if err != nil {
		return 0
	}
	return len(b)
}
