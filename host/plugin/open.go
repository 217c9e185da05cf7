package plugin

import (
	"context"
	"fmt"
)

// Guest is one guest that nobody watches over; it is used like a session.
type Guest struct{ *loggedGuest }

// Open starts one guest of the plugin in a file, whatever the file's name, for those who try a plugin out: nothing restarts it, no
// signature or lock is asked for, and the caller closes it before the catalogue. Of u, Kind, Config, BaseDir and HTTPClient count.
func (c *Catalogue) Open(ctx context.Context, path string, s Settings, u Use) (*Guest, error) {
	f, ok := candidateAt(path)
	if !ok {
		return nil, fmt.Errorf("%s is neither a wasm module nor an executable", path)
	}
	if f.err != nil {
		return nil, fmt.Errorf("%s: %w", path, f.err)
	}
	if err := c.checkIsolation(f, s); err != nil {
		return nil, err
	}
	var err error
	if f.digest, err = digestOf(path); err != nil {
		return nil, err
	}
	g, err := c.launcher.launch(ctx, f, s, &u, true)
	if err != nil {
		return nil, err
	}
	opened, ok := g.(*loggedGuest)
	if !ok {
		return nil, fmt.Errorf("%s: a %T cannot be used alone", path, g)
	}
	return &Guest{opened}, nil
}
