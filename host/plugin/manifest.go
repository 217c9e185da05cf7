package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/narthex-io/narthex/host/plugin/kept"
	"github.com/narthex-io/narthex/sdk"
)

// manifest returns what the file says about itself. It asks each file once: answers are kept by digest.
func (c *Catalogue) manifest(ctx context.Context, f *file, s Settings) (sdk.Manifest, error) {
	path := ""
	if c.options.CacheDir != "" {
		path = c.keptManifest(f.digest)
		if m, err := readManifest(path); err == nil {
			kept.Touch(path)
			return m, nil
		}
	}
	m, err := c.launcher.probe(ctx, f, s)
	if err != nil || path == "" {
		return m, err
	}
	if err := writeManifest(path, m); err != nil {
		c.unkept.warn(c.options.CacheDir, err)
	}
	return m, nil
}

// keptManifest is where the manifest of a file with a digest is kept.
func (c *Catalogue) keptManifest(digest string) string {
	return keptManifest(c.options.CacheDir, digest)
}

// manifestsDir is the folder for manifests in the cache.
const manifestsDir = "manifests-v3"

func keptManifest(cache, digest string) string {
	return filepath.Join(cache, manifestsDir, digest+".json")
}

func readManifest(path string) (sdk.Manifest, error) {
	var m sdk.Manifest
	if err := kept.CheckOwner(filepath.Dir(path)); err != nil {
		return m, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("read %s: %w", path, err)
	}
	return m, nil
}

func writeManifest(path string, m sdk.Manifest) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := kept.CheckOwner(dir); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".tmp-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone after a rename
	_, err = tmp.Write(text)
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// Manifest returns what the plugin in a file says about itself, whatever the file's name.
func (c *Catalogue) Manifest(ctx context.Context, path string) (sdk.Manifest, error) {
	f, ok := candidateAt(path)
	if !ok {
		return sdk.Manifest{}, fmt.Errorf("%s is neither a wasm module nor an executable", path)
	}
	if f.err != nil {
		return sdk.Manifest{}, fmt.Errorf("read the manifest of %s: %w", path, f.err)
	}
	var err error
	if f.digest, err = digestOf(path); err != nil {
		return sdk.Manifest{}, err
	}
	m, err := c.manifest(ctx, f, Settings{})
	if err != nil {
		return m, fmt.Errorf("read the manifest of %s: %w", path, err)
	}
	return m, nil
}
