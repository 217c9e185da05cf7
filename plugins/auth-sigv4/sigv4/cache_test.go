package sigv4

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// counter hands out credentials named 1, 2, … that last as long as it is told.
type counter struct {
	n     int
	lasts time.Duration
	takes time.Duration
	err   error
}

func (c *counter) fetch(context.Context) (grant, error) {
	c.n++
	n, err := c.n, c.err
	time.Sleep(c.takes)
	g := grant{credentials: credentials{accessKey: strconv.Itoa(n)}}
	if c.lasts != 0 {
		g.expires = time.Now().Add(c.lasts)
	}
	return g, err
}

func TestCache(t *testing.T) {
	check := func(t *testing.T, c *cache, want string) {
		t.Helper()
		synctest.Wait() // for a search that goes on beside
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		g, err := c.get(ctx)
		got := g.accessKey
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	t.Run("expiry", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			from := &counter{lasts: time.Hour, takes: 100 * time.Millisecond}
			c := &cache{fetch: from.fetch, now: time.Now}
			check(t, c, "1")
			time.Sleep(54 * time.Minute)
			check(t, c, "1")
			time.Sleep(time.Minute)
			check(t, c, "1") // and the next are fetched beside
			time.Sleep(time.Second)
			check(t, c, "2")
			from.err = errors.New("down")
			time.Sleep(56 * time.Minute)
			check(t, c, "2")
			time.Sleep(2 * time.Minute)
			check(t, c, "2") // They are still good.
			time.Sleep(2 * time.Minute)
			check(t, c, "down")
			n := from.n
			check(t, c, "down")
			if from.n != n {
				t.Error("there is no pause after a failure")
			}
			from.err = nil
			time.Sleep(retryPause)
			check(t, c, strconv.Itoa(n+1))
		})
	})
	t.Run("for-ever", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := &cache{fetch: (&counter{}).fetch, now: time.Now}
			check(t, c, "1")
			time.Sleep(1000 * time.Hour)
			check(t, c, "1")
		})
	})
	t.Run("expired-already", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := &cache{fetch: (&counter{lasts: -time.Second}).fetch, now: time.Now}
			check(t, c, "the AWS credentials that were found expired at")
		})
	})
	t.Run("slower-than-a-scrape", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := &cache{fetch: (&counter{takes: 1500 * time.Millisecond}).fetch, now: time.Now}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := c.get(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			time.Sleep(time.Second)
			check(t, c, "1")
		})
	})
}
