package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/oklog/run"

	"github.com/narthex-io/narthex/host/remote/send"
	"github.com/narthex-io/narthex/host/web/notices"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/tsdb"
)

// stage is one part of a running server.
type stage struct {
	name string
	// run blocks until ctx is done and everything that it started has ended.
	run func(ctx context.Context) error
}

// stopGrace bounds how long a stage may take to stop before the next one is stopped.
const stopGrace = 30 * time.Second

// Run runs the server until ctx is done, Quit is called or a part fails, then stops all parts in order and releases
// everything. It returns nil after an orderly stop.
//
// The stages below are in the order in which they stop, which follows the data: no requests and no reloads, then no
// rules, the delivery of alerts, no new targets, no scrapes, what others are still to get, then the storage; the plugins are
// closed last, as a cleanup.
// They start side by side; what needs another part waits for it: the configuration is applied first, which starts the
// plugins, and scraping begins; rules begin and the server is ready when the storage is open too.
func (h *Host) Run(ctx context.Context) error {
	configured, opened := make(chan struct{}), make(chan struct{})
	var g run.Group
	for _, s := range []stage{
		{"shutdown", h.awaitQuit},
		{"web", h.web.Run},
		{"reload", func(ctx context.Context) error { return h.runReloads(ctx, configured, opened) }},
		{"rules", after(h.rules.Run, configured, opened)},
		{"notify", after(h.runNotify, configured, opened)},
		{"alertmanagers", after(h.alertmanagers.Run, configured)},
		{"discovery", after(h.discovery.Run, configured)},
		{"scrape", after(h.runScrape, configured)},
		{"remote write", after(h.runSender, configured, opened)},
		{"storage", func(ctx context.Context) error { return h.runStorage(ctx, opened) }},
	} {
		h.addStage(ctx, &g, s)
	}
	err := g.Run()
	if errors.Is(err, errQuit) || errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, h.cleanups.run(h.log))
}

// errQuit ends the run group in an orderly way.
var errQuit = errors.New("asked to stop")

func (h *Host) awaitQuit(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-h.quit:
	}
	h.log.Info("stopping")
	h.web.SetStopping()
	h.notices.Set(notices.Stopping, true)
	return errQuit
}

// addStage adds a stage whose interrupt waits for its end, so that the group interrupts one after the other.
func (h *Host) addStage(ctx context.Context, g *run.Group, s stage) {
	if s.name != "shutdown" {
		ctx = context.WithoutCancel(ctx) // Stages are stopped in order, not all at once.
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	grace := stopGrace
	if s.name == "remote write" {
		grace += cmp.Or(h.opts.RemoteFlushDeadline, time.Minute)
	}
	g.Add(func() error {
		defer close(done)
		err := s.run(ctx)
		if err != nil && !errors.Is(err, errQuit) && ctx.Err() == nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if err == nil && ctx.Err() == nil {
			return fmt.Errorf("%s ended unexpectedly", s.name)
		}
		return err
	}, func(error) {
		cancel()
		select {
		case <-done:
		case <-time.After(grace):
			h.log.Error("part does not stop, going on without it", "part", s.name, "waited", grace)
		}
	})
}

// after returns run, to be started when all gates are open.
func after(run func(context.Context) error, gates ...<-chan struct{}) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, gate := range gates {
			select {
			case <-gate:
			case <-ctx.Done():
				return nil
			}
		}
		return run(ctx)
	}
}

func (h *Host) runScrape(ctx context.Context) error {
	return h.scrape.Run(ctx, h.discovery.Updates())
}

// runSender follows the log of the storage, which stays open until what is in it was sent, or the time for that is over.
func (h *Host) runSender(ctx context.Context) error { return h.sender.Run(ctx, h.storage.get()) }

// runNotify waits for the storage, which holds the lock of the data directory: receivers of alerts keep theirs there too.
func (h *Host) runNotify(ctx context.Context) error {
	return h.notify.Run(ctx, h.alertmanagers.Updates())
}

// runStorage opens the data directory, which reads the write-ahead log, and closes it in the end.
func (h *Host) runStorage(ctx context.Context, opened chan<- struct{}) error {
	opts := h.opts.Storage
	opts.Logger = h.log.With("component", "tsdb")
	opts.Registerer = h.registry
	opts.OnCommit = func(c tsdb.Committed) { h.sender.Committed(send.Commit(c)) }
	opts.Retention = h.retention(h.config.Load())
	opts.OutOfOrderWindow = time.Duration(h.config.Load().Storage.TSDB.OutOfOrderTimeWindow)
	opts.MaxExemplars = h.maxExemplars(h.config.Load())
	opts.XOR2 = h.xor2(h.config.Load())
	opts.Replay = &h.replay
	begin := time.Now()
	db, err := tsdb.Open(ctx, opts)
	if err != nil {
		return err
	}
	closeLog := h.openActiveLog() // The directory is locked by now: no other server writes to its log.
	defer closeLog()
	h.storage.open(ctx, db)
	h.applyStorage(db, h.config.Load()) // A reload may have come in between.
	h.log.Info("storage is open", "dir", opts.Dir, "took", time.Since(begin).Round(time.Millisecond))
	close(opened)
	err = db.Run(ctx)
	h.storage.shut()
	return errors.Join(err, db.Close())
}

// openActiveLog makes the engine log the queries that run; the function it returns ends that. A log that cannot be
// written is no reason not to start.
func (h *Host) openActiveLog() func() {
	l, err := promql.OpenActiveLog(filepath.Join(h.opts.Storage.Dir, "queries.active"), h.engine.MaxConcurrency(), h.log.With("component", "activeQueryTracker"))
	if err != nil {
		h.log.Warn("a crash will not show which queries were running", "err", err)
		return func() {}
	}
	h.engine.SetActiveLog(l)
	return func() {
		h.engine.SetActiveLog(nil)
		if err := l.Close(); err != nil {
			h.log.Warn("log of active queries", "err", err)
		}
	}
}
