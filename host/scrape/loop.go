package scrape

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/narthex-io/narthex/host/scrape/exposition"
	"github.com/narthex-io/narthex/storage"
)

// loop scrapes one target at its moments. It outlives changes of the job's settings and of the target's interval, and
// keeps its cache through them. When its target goes away it waits for a while, in case the target returns, and then
// ends the target's series.
type loop struct {
	env  *env
	pool *pool
	meta metadata
	// wake tells run that something below has changed.
	wake chan struct{}

	mu sync.Mutex
	// target is what is scraped. A change of its interval counts from the next scrape on.
	target *target
	// retired says that the target is gone.
	retired bool
	status  status

	// What follows belongs to the goroutine of run.
	cache       *cache
	report      reportSeries
	req         *http.Request
	reqSettings *settings
	reqTarget   *target
	lastStart   time.Time
	pace        pace
	// body is what is being read; nil between scrapes, and until there is an answer.
	body *body
	// lastSize is the size of the last body that was read to its end, lastParsed what a parser made of the last one.
	lastSize, lastParsed int
	// parsedBy is the parser plugin that the body is from.
	parsedBy string
	// fellBack is why the last body was taken for what the fallback protocol says.
	fellBack error
}

// status is how the last scrape went.
type status struct {
	health   Health
	err      error
	started  time.Time
	duration time.Duration
}

func newLoop(e *env, p *pool, t *target) *loop {
	return &loop{env: e, pool: p, target: t, wake: make(chan struct{}, 1), status: status{health: HealthUnknown}}
}

// set gives the loop its target, which may have been retired before.
func (l *loop) set(t *target) {
	l.mu.Lock()
	changed := l.retired || l.target.interval != t.interval
	l.target, l.retired = t, false
	l.mu.Unlock()
	if changed {
		l.kick()
	}
}

// retire tells the loop that its target is gone.
func (l *loop) retire() {
	l.mu.Lock()
	changed := !l.retired
	l.retired = true
	l.mu.Unlock()
	if changed {
		l.kick()
	}
}

func (l *loop) kick() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *loop) current() (t *target, retired bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.target, l.retired
}

// run scrapes until ctx is done, which ends no series, or until the target is gone for good.
func (l *loop) run(ctx context.Context) {
	t, _ := l.current()
	interval, next := t.interval, l.firstScrape(t)
	timer := time.NewTimer(time.Until(next))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			t, _ = l.current()
			l.scrape(ctx, t, next)
			next = next.Add(interval)
		case <-l.wake:
			current, retired := l.current()
			if retired {
				if l.linger(ctx, interval, next) {
					return
				}
				current, _ = l.current()
				for now := time.Now(); !next.After(now); {
					next = next.Add(interval)
				}
			}
			if current.interval != interval {
				interval, next = current.interval, l.firstScrape(current)
			}
		}
		// A moment that has just passed is made up for at once, those before it are lost.
		if late := time.Since(next); late >= interval {
			next = next.Add(late.Truncate(interval))
		}
		timer.Reset(time.Until(next))
	}
}

// firstScrape returns the next moment of a target.
func (l *loop) firstScrape(t *target) time.Time {
	now := time.Now()
	return now.Add(t.offset(now, l.env.seed.Load()))
}

// linger waits, after the target is gone, for two further ticks and a tenth of the interval, and then ends its series
// at the time of the first tick that it missed. ended is false if the target has returned.
func (l *loop) linger(ctx context.Context, interval time.Duration, next time.Time) (ended bool) {
	timer := time.NewTimer(time.Until(next.Add(interval + interval/10)))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return true
		case <-l.wake:
			if _, retired := l.current(); !retired {
				return false
			}
		case <-timer.C:
			if !l.env.forget(l) {
				return false
			}
			l.end(ctx, next)
			return true
		}
	}
}

// scrape fetches the target once and stores what it exposes, and how that went.
func (l *loop) scrape(ctx context.Context, t *target, scheduled time.Time) {
	start := time.Now()
	s := l.pool.settings.Load()
	if !l.lastStart.IsZero() {
		if l.pace.interval != t.interval {
			l.pace = l.env.metrics.pace(t.interval)
		}
		l.pace.observe(start.Sub(l.lastStart))
	}
	l.lastStart = start
	ts := alignedTime(scheduled, start, t.interval, l.env.TimestampTolerance)

	defer l.endBody()
	contentType, err := "", l.pool.forcedError()
	if err == nil {
		fetch, cancel := context.WithTimeout(ctx, t.timeout)
		contentType, err = l.fetch(fetch, s, t)
		cancel()
	}
	if ctx.Err() != nil {
		return // The server stops: that is not the target's failure.
	}
	r := report{bodyBytes: l.bodyBytes(err), start: start}
	select {
	case l.env.decoding <- struct{}{}:
		defer func() { <-l.env.decoding }()
	case <-ctx.Done():
		return
	}
	a := l.env.takeAppender(l.body)
	defer l.env.giveAppender(a)
	err = l.store(ctx, a, s, t, contentType, err, &r, millis(ts))
	l.env.metrics.duration.Observe(time.Since(start).Seconds())
	l.finish(t, err, start, r.duration)
}

// bodyBytes returns what is reported as the size of the body.
func (l *loop) bodyBytes(err error) int {
	switch {
	case errors.Is(err, errBodySizeLimit):
		l.env.metrics.exceededBodySizeLimit.Inc()
		return -1
	case err != nil:
		return 0
	default:
		return l.lastSize
	}
}

// store writes the samples of a body that was fetched, or else the end of the series, and the report. It returns err, or
// why storing failed.
func (l *loop) store(ctx context.Context, a *appender, s *settings, t *target, contentType string, err error, r *report, ts int64) error {
	out := l.env.Storage.Appender()
	if err == nil {
		if err = l.storeBody(ctx, a, out, s, t, contentType, ts); err != nil {
			_ = out.Rollback() // The reason for which it is rolled back is what counts.
			out = l.env.Storage.Appender()
		}
		r.counts = a.counts
	}
	if ctx.Err() != nil {
		_ = out.Rollback()
		return ctx.Err()
	}
	if err != nil {
		if failed := l.storeEnd(ctx, a, out, t, ts); failed != nil {
			_ = out.Rollback()
			l.lostBatch()
			return errors.Join(err, failed)
		}
	}
	r.up, r.duration = err == nil, time.Since(r.start)
	l.report.of(t.labels)
	values, n := r.values(s, t)
	if failed := l.report.write(ctx, out, values, n, ts); failed != nil {
		_ = out.Rollback()
		l.lostBatch()
		return errors.Join(err, failed)
	}
	if failed := out.Commit(ctx); failed != nil {
		l.lostBatch()
		return errors.Join(err, failed)
	}
	if l.cache == nil {
		return err
	}
	if err == nil {
		l.cache.endGood()
	} else if l.cache.endBad() {
		l.env.metrics.cacheFlushed.Inc()
	}
	return err
}

// lostBatch follows a batch that the storage did not take: what should have happened to the series of the last good
// scrape is still to be done.
func (l *loop) lostBatch() {
	if l.cache != nil {
		l.cache = l.cache.replace(l.cache.rules, l.cache.opts)
	}
}

// storeBody appends the samples of the body.
func (l *loop) storeBody(ctx context.Context, a *appender, out storage.Appender, s *settings, t *target, contentType string, ts int64) error {
	opts, err := l.readingOf(s, t, contentType)
	if err != nil {
		return err
	}
	switch {
	case l.cache == nil:
		l.cache = newCache(s.rules, opts)
	case l.cache.rules != s.rules || l.cache.opts != opts:
		l.cache = l.cache.replace(s.rules, opts)
	}
	a.start(l.env, out, l.cache, t, limitsOf(s.cfg), ts)
	err = a.appendBody(ctx, &l.meta)
	if syntax := (*exposition.SyntaxError)(nil); l.parsedBy != "" && errors.As(err, &syntax) {
		return fmt.Errorf("what parser plugin %s made of the body: %w", l.parsedBy, err)
	}
	return err
}

// readingOf returns how a body is to be read.
func (l *loop) readingOf(s *settings, t *target, contentType string) (exposition.Options, error) {
	format, problem, err := formatOf(contentType, s.cfg.FallbackScrapeProtocol)
	if err != nil && l.parsedBy != "" {
		err = fmt.Errorf("what parser plugin %s made of the body: %w", l.parsedBy, err)
	}
	if err != nil {
		return exposition.Options{}, err
	}
	if problem != nil && (l.fellBack == nil || l.fellBack.Error() != problem.Error()) {
		l.env.Log.Warn("the content type is of no use: the fallback protocol is assumed", "job", l.pool.name, "target", t.url,
			"protocol", s.cfg.FallbackScrapeProtocol, "err", problem)
	}
	l.fellBack = problem
	return exposition.Options{
		Format:           format,
		Seed:             l.env.seriesSeed,
		NativeHistograms: t.histograms.native,
		KeepClassic:      t.histograms.classic,
		ConvertClassic:   t.histograms.convert,
		StartTimes:       l.env.Features.startTimes(),
		TypeAndUnit:      l.env.Features.TypeAndUnit,
	}, nil
}

// storeEnd marks all series of the last good scrape as stale.
func (l *loop) storeEnd(ctx context.Context, a *appender, out storage.Appender, t *target, ts int64) error {
	if l.cache == nil {
		return nil
	}
	a.start(l.env, out, l.cache, t, sampleLimits{}, ts)
	return a.appendVanished(ctx, true, ts)
}

// end marks everything as stale at the time of a scrape that did not take place.
func (l *loop) end(ctx context.Context, at time.Time) {
	a := newAppender()
	out := l.env.Storage.Appender()
	t, _ := l.current()
	err := l.storeEnd(ctx, a, out, t, millis(at))
	if err == nil {
		err = l.report.end(ctx, out, millis(at))
	}
	if err != nil {
		_ = out.Rollback()
	} else {
		err = out.Commit(ctx)
	}
	if err != nil {
		l.env.Log.Warn("series of a target that is gone could not be ended", "job", l.pool.name, "target", t.url, "err", err)
	}
}

// finish notes how a scrape went.
func (l *loop) finish(t *target, err error, start time.Time, duration time.Duration) {
	health := HealthGood
	if err != nil {
		health = HealthBad
		l.env.Log.Debug("scrape failed", "job", l.pool.name, "target", t.url, "err", err)
		if logs := l.env.failures.Load(); logs != nil {
			path := l.pool.settings.Load().cfg.ScrapeFailureLogFile
			if lost := logs.note(path, l.pool.name, t.url, err); lost != nil {
				l.env.Log.Warn("failed scrape could not be noted in its log", "job", l.pool.name, "file", path, "err", lost)
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status = status{health: health, err: err, started: start, duration: duration}
}
