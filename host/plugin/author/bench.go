package author

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/sdk"
)

// Measured is what a plugin costs in one place. Durations are wall clock; zero means not measured.
type Measured struct {
	// Path is the plugin's file, Place where it ran: inline, worker or process.
	Path  string `json:"path"`
	Place string `json:"place"`
	// Cold is a start with nothing cached, compilation included; Cached one of a new host with the compiled code on disk; Warm
	// one more guest in the same host.
	Cold   time.Duration `json:"coldNanoseconds"`
	Cached time.Duration `json:"cachedNanoseconds"`
	Warm   time.Duration `json:"warmNanoseconds"`
	// FirstUpdate is how long a discovery took from Run to its first update.
	FirstUpdate time.Duration `json:"firstUpdateNanoseconds,omitempty"`
	// Calls were made one after the other; Least, Median and P99 are what they took. Other work on the machine distorts Least least.
	Calls  int           `json:"calls,omitempty"`
	Least  time.Duration `json:"leastNanoseconds,omitempty"`
	Median time.Duration `json:"medianNanoseconds,omitempty"`
	P99    time.Duration `json:"p99Nanoseconds,omitempty"`
	// InBytes and OutBytes are what one call carries.
	InBytes  int `json:"inBytes,omitempty"`
	OutBytes int `json:"outBytes,omitempty"`
	// MemoryBytes is what the guest held after the calls.
	MemoryBytes uint64 `json:"memoryBytes"`
}

// Bench measures the plugin in a file in each place that it can run in: starts, calls, memory. A notifier's calls are measured only on
// demand, since they are delivered. A call that fails is an error.
func Bench(ctx context.Context, path string, o TryOptions) (all []Measured, err error) {
	in, err := Inspect(ctx, path, plugin.Options{CacheDir: o.CacheDir, Worker: o.Worker})
	if err != nil {
		return nil, err
	}
	kind, err := o.kind(in)
	if err != nil {
		return nil, err
	}
	if o.Config, o.client, err = split(o.Split, kind, o.Config); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, p := range o.places(in) {
		m, err := o.measure(ctx, path, p, kind)
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", path, p, err)
		}
		all = append(all, m)
	}
	return all, nil
}

// measure measures one place, with a cache of its own.
func (o TryOptions) measure(ctx context.Context, path string, p place, kind sdk.Kind) (m Measured, err error) {
	m = Measured{Path: path, Place: p.String()}
	cache, err := os.MkdirTemp("", "narthex-bench-")
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(cache)) }()
	if err := o.inHost(ctx, cache, func(c *plugin.Catalogue) (err error) {
		m.Cold, err = o.timeStart(ctx, c, path, p, kind)
		return err
	}); err != nil {
		return m, err
	}
	return m, o.inHost(ctx, cache, func(c *plugin.Catalogue) (err error) {
		if m.Cached, err = o.timeStart(ctx, c, path, p, kind); err != nil {
			return err
		}
		begin := time.Now()
		g, err := o.open(ctx, c, path, p, kind, o.config())
		if err != nil {
			return err
		}
		m.Warm = time.Since(begin)
		defer func() { err = errors.Join(err, g.Close(ctx)) }()
		if err := m.calls(ctx, g, kind, o); err != nil {
			return err
		}
		m.MemoryBytes = g.Stats().MemoryBytes
		return nil
	})
}

func (o TryOptions) inHost(_ context.Context, cache string, f func(*plugin.Catalogue) error) (err error) {
	c, err := o.catalogue(cache)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return f(c)
}

// timeStart returns how long a guest takes until it is ready.
func (o TryOptions) timeStart(ctx context.Context, c *plugin.Catalogue, path string, p place, kind sdk.Kind) (time.Duration, error) {
	begin := time.Now()
	g, err := o.open(ctx, c, path, p, kind, o.config())
	took := time.Since(begin)
	if err != nil {
		return 0, explained(ctx, err, o.Config)
	}
	return took, g.Close(ctx)
}

// calls measures what the plugin is there for.
func (m *Measured) calls(ctx context.Context, g *plugin.Guest, kind sdk.Kind, o TryOptions) error {
	var call func() (in, out int, err error)
	var written counter
	switch kind {
	case sdk.KindDiscovery:
		return m.firstUpdate(ctx, g.Discovery(), o)
	case sdk.KindExporter:
		call = func() (int, int, error) {
			written = 0
			err := g.Exporter().Collect(ctx, &written)
			return 0, int(written), err
		}
	case sdk.KindParser:
		if len(o.Bodies) == 0 {
			return nil
		}
		body, contentType := []byte(o.Bodies[0].Text), o.Bodies[0].ContentType
		call = func() (int, int, error) {
			written = 0
			err := g.Parser().Parse(ctx, body, contentType, &written)
			return len(body), int(written), err
		}
	case sdk.KindAuthOutbound:
		r := firstRequest(o.requests(kind))
		call = func() (int, int, error) { _, err := g.Signer().Sign(ctx, r); return 0, 0, err }
	case sdk.KindAuthInbound:
		if len(o.Allowed) == 0 {
			return nil
		}
		call = func() (int, int, error) {
			_, err := g.Authenticator().Authenticate(ctx, o.Allowed[0])
			return 0, 0, err
		}
	case sdk.KindNotify:
		if !o.Deliver {
			return nil
		}
		batch, err := example()
		if err != nil {
			return err
		}
		call = func() (int, int, error) { return len(batch), 0, g.Notifier().Notify(ctx, batch) }
	}
	return m.repeat(ctx, call, cmp.Or(o.Duration, time.Second))
}

// firstRequest returns what a signer signs.
func firstRequest(given []sdk.AuthRequest) sdk.AuthRequest {
	if len(given) > 0 {
		return given[0]
	}
	return sdk.AuthRequest{
		Method: "GET", URL: "http://localhost:9090/metrics", BodySHA256: emptySHA256, Header: sdk.Header{"Host": {"localhost:9090"}},
	}
}

// repeat calls until the time is over, and ten times at least.
func (m *Measured) repeat(ctx context.Context, call func() (in, out int, err error), d time.Duration) error {
	const least, most = 10, 1_000_000
	var took []time.Duration
	for begin := time.Now(); (time.Since(begin) < d || len(took) < least) && len(took) < most; {
		start := time.Now()
		in, out, err := call()
		took = append(took, time.Since(start))
		if err := cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		m.InBytes, m.OutBytes = in, out
	}
	slices.Sort(took)
	m.Calls, m.Least, m.Median, m.P99 = len(took), took[0], took[len(took)/2], took[len(took)*99/100]
	return nil
}

func (m *Measured) firstUpdate(ctx context.Context, d sdk.Discovery, o TryOptions) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(o.Patience, 10*time.Second))
	defer cancel()
	updates, ended := make(chan []sdk.Group), make(chan error, 1)
	begin := time.Now()
	go func() { ended <- d.Run(ctx, updates) }()
	select {
	case <-updates:
		m.FirstUpdate = time.Since(begin)
	case err := <-ended:
		return cmp.Or(err, errors.New("the discovery ended before its first update"))
	case <-ctx.Done():
		return errors.Join(errors.New("the first update does not come"), <-ended)
	}
	cancel()
	for {
		select {
		case <-updates:
		case <-ended: //nolint:errcheck // it was told to end
			return nil
		}
	}
}

// counter counts what is written to it.
type counter int

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// WriteBench writes what was measured as a table with a column for each place.
func WriteBench(out io.Writer, all []Measured) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, cell func(Measured) string) {
		line, some := fmt.Sprintf("%-28s\t", name), false // tabwriter aligns all columns to the right, or none
		for _, m := range all {
			text := cell(m)
			some = some || text != ""
			line += text + "\t"
		}
		if some {
			fmt.Fprintln(w, line)
		}
	}
	duration := func(name string, of func(Measured) time.Duration) {
		row(name, func(m Measured) string {
			if of(m) == 0 {
				return ""
			}
			return rounded(of(m))
		})
	}
	row("", func(m Measured) string { return m.Place })
	duration("start, nothing cached", func(m Measured) time.Duration { return m.Cold })
	duration("start, compiled code cached", func(m Measured) time.Duration { return m.Cached })
	duration("start, one more of the same", func(m Measured) time.Duration { return m.Warm })
	duration("first update", func(m Measured) time.Duration { return m.FirstUpdate })
	duration("call, shortest", func(m Measured) time.Duration { return m.Least })
	duration("call, median", func(m Measured) time.Duration { return m.Median })
	duration("call, 99 %", func(m Measured) time.Duration { return m.P99 })
	row("calls measured", func(m Measured) string { return positive(m.Calls, "%d") })
	row("input of a call, bytes", func(m Measured) string { return positive(m.InBytes, "%d") })
	row("output of a call, bytes", func(m Measured) string { return positive(m.OutBytes, "%d") })
	row("throughput, MB/s", func(m Measured) string {
		if m.Median == 0 {
			return ""
		}
		return positive(float64(max(m.InBytes, m.OutBytes))/1e6/m.Median.Seconds(), "%.3g")
	})
	row("memory, MiB", func(m Measured) string { return positive(float64(m.MemoryBytes)/(1<<20), "%.1f") })
	if err := w.Flush(); err != nil || slices.ContainsFunc(all, func(m Measured) bool { return m.Calls > 0 || m.FirstUpdate > 0 }) {
		return err
	}
	_, err := fmt.Fprintln(out, "No calls were made: a parser needs --body, an inbound auth plugin --request, a notifier --deliver.")
	return err
}

func positive[N int | float64](n N, format string) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(format, n)
}
