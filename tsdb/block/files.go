package block

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// replaceFile writes a file beside the named one and renames it over it, once it is on the disk.
func replaceFile(name string, content []byte) error {
	tmp := name + ".tmp"
	if err := writeFile(tmp, content); err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(tmp, name); err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("replace %s: %w", name, err)
	}
	return syncDir(filepath.Dir(name))
}

func writeFile(name string, content []byte) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return errors.Join(err, f.Close())
	}
	return closeSynced(f)
}

// closeSynced closes a file after its content is on the disk.
func closeSynced(f *os.File) error {
	return errors.Join(f.Sync(), f.Close())
}

// syncDir makes created and renamed names of a folder durable.
func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync folder %s: %w", name, err)
	}
	return nil
}
