package jwtauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/narthex-io/narthex/sdk"
)

const (
	// keysPause is how long nobody asks for the keys after they were asked for, whatever tokens say.
	keysPause = 5 * time.Second
	// keysTimeout bounds one reading of the keys.
	keysTimeout = 10 * time.Second
	// maxKeysBytes bounds a set of keys.
	maxKeysBytes = 1 << 20
	// maxTried bounds how many keys are tried for a token that names none, or one that there are several of.
	maxTried = 4
)

// errUnknownKey is about a token whose key the issuer does not have.
var errUnknownKey = errors.New("the issuer has no such key")

// keyring holds the issuer's keys. It reads them when they are needed for the first time, when they are old, and when a
// token names one that is not there, and keeps the last good ones whatever happens.
type keyring struct {
	read  func(context.Context) (keySet, error)
	every time.Duration
	now   func() time.Time
	log   *slog.Logger
	// changed is called when other keys than before are there, with their version.
	changed func(version int)

	mu      sync.Mutex
	keys    []publicKey
	version int           // counts the sets of keys
	text    string        // which the keys were read from
	fetched time.Time     // when they were read; zero before
	tried   time.Time     // when reading them was last begun
	err     error         // how that ended
	reading chan struct{} // closed when it has ended; nil while nobody reads
}

// found are the keys that may have signed a token, of one version of the set.
type found struct {
	keys    []publicKey
	version int
}

// keySet is a set of keys as it was read.
type keySet struct {
	text []byte
	// age is how long ago the host got it, for a guest before this one. Not zero means that the issuer does not answer now.
	age time.Duration
}

// find returns the keys that may have signed a token. An error that is not errUnknownKey means that the keys are not known.
func (k *keyring) find(ctx context.Context, id, algorithm string) (found, error) {
	f := k.look(id, algorithm)
	if len(f.keys) > 0 {
		if k.old() {
			k.refresh(ctx) // Nobody waits for it.
		}
		return f, nil
	}
	if done := k.refresh(ctx); done != nil {
		select {
		case <-done:
		case <-ctx.Done():
			return found{}, ctx.Err()
		}
		f = k.look(id, algorithm)
	}
	if len(f.keys) > 0 {
		return f, nil
	}
	if err := k.failure(); err != nil {
		return found{}, fmt.Errorf("the issuer's keys cannot be read: %w", err)
	}
	return found{}, errUnknownKey
}

// look returns the keys for a token that are there now.
func (k *keyring) look(id, algorithm string) found {
	k.mu.Lock()
	defer k.mu.Unlock()
	f := found{version: k.version}
	for _, key := range k.keys {
		if (id == "" || key.id == id) && slices.Contains(key.algorithms, algorithm) && len(f.keys) < maxTried {
			f.keys = append(f.keys, key)
		}
	}
	return f
}

func (k *keyring) old() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now().Sub(k.fetched) >= k.every
}

func (k *keyring) failure() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

// refresh begins to read the keys, unless somebody does or just has, and returns what is closed in the end; nil means that
// there is nothing to wait for.
func (k *keyring) refresh(ctx context.Context) <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.reading != nil {
		return k.reading
	}
	now := k.now()
	if !k.tried.IsZero() && now.Sub(k.tried) < keysPause {
		return nil
	}
	k.tried = now
	done := make(chan struct{})
	k.reading = done
	// It is for all who wait, and so has to outlive the request that made it necessary.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keysTimeout)
	go func() {
		defer cancel()
		defer close(done)
		set, err := k.read(ctx)
		k.take(now, set, err)
	}()
	return done
}

// take notes how reading ended.
func (k *keyring) take(at time.Time, set keySet, err error) {
	var keys []publicKey
	var skipped []error
	if err == nil {
		keys, skipped, err = parseKeys(set.text)
	}
	good := err == nil
	if good && set.age > 0 {
		at, err = at.Add(-set.age), fmt.Errorf("the issuer does not answer; its keys of %v ago are in use", set.age)
	}
	k.mu.Lock()
	k.reading = nil
	before := k.err
	k.err = err
	other := good && string(set.text) != k.text
	if good && !at.Before(k.fetched) {
		k.keys, k.fetched, k.text = keys, at, string(set.text)
	}
	if other {
		k.version++
	}
	version := k.version
	k.mu.Unlock()
	switch {
	case err != nil && before == nil:
		k.log.Warn("keys not read; those that are known stay in use", "err", err)
	case err == nil && before != nil:
		k.log.Info("keys can be read again", "keys", len(keys))
	case other:
		k.log.Info("keys read", "keys", len(keys))
	}
	if other {
		for _, err := range skipped {
			k.log.Debug("key not used", "err", err)
		}
		k.changed(version)
	}
}

// A guest that starts while the issuer is down may begin with keys that the host has from before, if they are not older than staleAge:
// a key that was withdrawn since then would still be good. The host says their age in the field staleHeader.
const (
	staleAge    = 24 * time.Hour
	staleHeader = "Narthex-Stale"
)

// readURL returns a function that gets the keys over HTTP.
func readURL(client sdk.HTTPClient, url string) func(context.Context) (keySet, error) {
	header := map[string][]string{
		"Accept": {"application/json"}, "Cache-Control": {"stale-if-error=" + strconv.Itoa(int(staleAge/time.Second))},
	}
	return func(ctx context.Context) (set keySet, err error) {
		resp, err := client.Do(ctx, sdk.Request{Method: "GET", URL: url, Header: header})
		if err != nil {
			return set, err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.Status != 200 {
			return set, fmt.Errorf("%s answers with status %d", url, resp.Status)
		}
		if seconds, err := strconv.Atoi(first(resp.Header[staleHeader])); err == nil {
			set.age = max(time.Duration(seconds), 1) * time.Second
		}
		set.text, err = io.ReadAll(io.LimitReader(resp.Body, maxKeysBytes+1))
		if err == nil && len(set.text) > maxKeysBytes {
			err = fmt.Errorf("%s answers with more than %d bytes", url, maxKeysBytes)
		}
		return set, err
	}
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// readFile returns a function that reads the keys from a file.
func readFile(files sdk.Files, name string) func(context.Context) (keySet, error) {
	return func(context.Context) (keySet, error) {
		text, err := files.ReadFile(name)
		return keySet{text: text}, err
	}
}
