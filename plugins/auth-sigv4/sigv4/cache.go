package sigv4

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// credentials are a key to AWS.
type credentials struct {
	accessKey, secretKey, token string
	// expires is the zero time for those that don't.
	expires time.Time
}

// grant is what the chain finds: credentials, and the region to sign for.
type grant struct {
	credentials
	region string
}

const (
	// refreshBefore is how long before credentials expire new ones are fetched, or a quarter of their time if that is less.
	refreshBefore = 5 * time.Minute
	// retryPause is the least time between a search for credentials that failed and the next one.
	retryPause = 5 * time.Second
	// fetchTimeout bounds a search.
	fetchTimeout = 20 * time.Second
)

// cache keeps credentials and has them replaced before they expire.
type cache struct {
	fetch func(context.Context) (grant, error)
	now   func() time.Time

	mu        sync.Mutex
	current   grant
	refreshAt time.Time     // zero: never
	found     bool          // there is a current one
	err       error         // why the last fetch failed
	retryAt   time.Time     // when the next one may be
	running   chan struct{} // closed when the fetch under way is over; nil: there is none
}

// get returns credentials that are good now. It waits for a search if there are none, for as long as ctx allows; the search
// itself goes on, so that it can take longer than a scrape.
func (c *cache) get(ctx context.Context) (grant, error) {
	for {
		g, wait, err := c.look() //nolint:contextcheck // a search goes on when the request that began it has ended
		if wait == nil {
			return g, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return grant{}, fmt.Errorf("wait for AWS credentials: %w", ctx.Err())
		}
	}
}

// look returns credentials, or why there are none, or what to wait for. It starts a search when it is time for one.
func (c *cache) look() (grant, <-chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	good := c.found && (c.current.expires.IsZero() || now.Before(c.current.expires))
	due := !good || !c.refreshAt.IsZero() && !now.Before(c.refreshAt)
	if due && c.running == nil && !now.Before(c.retryAt) {
		c.running = make(chan struct{})
		go c.search() // It ends by itself after fetchTimeout, or with the guest.
	}
	switch {
	case good:
		return c.current, nil, nil
	case c.running != nil:
		return grant{}, c.running, nil
	}
	return grant{}, nil, c.err
}

func (c *cache) search() {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	g, err := c.fetch(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(c.running)
	c.running = nil
	now := c.now()
	if err == nil && !g.expires.IsZero() && !now.Before(g.expires) {
		err = fmt.Errorf("the AWS credentials that were found expired at %s", g.expires.UTC().Format(time.RFC3339))
	}
	c.err, c.retryAt = err, now.Add(retryPause)
	if err != nil {
		return
	}
	c.current, c.found, c.retryAt, c.refreshAt = g, true, time.Time{}, time.Time{}
	if left := g.expires.Sub(now); !g.expires.IsZero() {
		c.refreshAt = g.expires.Add(-min(refreshBefore, left/4))
	}
}
