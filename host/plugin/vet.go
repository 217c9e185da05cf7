package plugin

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/narthex-io/narthex/host/plugin/trust"
)

// vet decides whether a file may be loaded, before anything of it runs: it has to be the one that is pinned or, without a pin,
// locked, and signed by a trusted key where that is required. It fills in the digest and the signature. All of that is about the
// bytes with this digest, which is looked at again when the file is started.
func (c *Catalogue) vet(f *file, config Config) error {
	keys, err := c.trusted(config)
	if err != nil {
		return err
	}
	if err := f.measure(keys); err != nil {
		return err
	}
	if config.Settings[f.name].SHA256 != "" {
		err = f.checkPin(config.Settings[f.name])
	} else {
		err = config.Lock.check(f)
	}
	if err != nil || !c.options.RequireSignature {
		return err
	}
	return f.checkSignature()
}

// measure reads the file for its digest and, if there is a signature, to check that too.
func (f *file) measure(keys trust.Keys) (err error) {
	if !trust.Signed(f.path) {
		f.signature = trust.Signature{State: trust.StateUnsigned}
		f.digest, err = digestOf(f.path)
		return err
	}
	content, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	f.digest, f.signature = hex.EncodeToString(sum[:]), keys.Examine(f.path, content)
	return nil
}

// trusted returns the keys that may have signed a plugin.
func (c *Catalogue) trusted(config Config) (trust.Keys, error) {
	keys := c.options.TrustedKeys
	for _, text := range config.TrustedKeys {
		key, err := trust.ParseKey(text)
		if err != nil {
			return nil, fmt.Errorf("plugins.trusted_keys: %w", err)
		}
		keys = keys.Add(key)
	}
	return keys, nil
}

// checkKeys returns an error when signatures are required and none could be good.
func (c *Catalogue) checkKeys(config Config) error {
	keys, err := c.trusted(config)
	if err == nil && c.options.RequireSignature && len(keys) == 0 {
		err = errors.New("--plugins.require-signature is set, but no key is trusted: list public keys below plugins.trusted_keys, or name a key's file with --plugins.trusted-key")
	}
	return err
}

func (f *file) checkPin(s Settings) error {
	if !strings.EqualFold(s.SHA256, f.digest) {
		return fmt.Errorf("sha256 is %s, but plugins.settings.%s.sha256 pins %s", f.digest, f.name, strings.ToLower(s.SHA256))
	}
	return nil
}

func (f *file) checkSignature() error {
	const required = "and --plugins.require-signature is set"
	switch f.signature.State {
	case trust.StateTrusted:
		return nil
	case trust.StateUnsigned:
		return fmt.Errorf("it is not signed, %s: put %s%s beside it, made with a trusted key by narthex plugin sign or minisign", required, f.path, trust.Extension)
	case trust.StateUnknown:
		return fmt.Errorf("%s, %s: if its owner is to be trusted, add the public key to plugins.trusted_keys", f.signature.Problem, required)
	case trust.StateWrong:
		return fmt.Errorf("%s, %s: get both files anew from who made the plugin, or sign it again", f.signature.Problem, required)
	}
	return fmt.Errorf("signature state %q, %s", f.signature.State, required)
}
