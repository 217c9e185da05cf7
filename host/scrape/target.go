package scrape

import (
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/common/model"

	"github.com/narthex-io/narthex/internal/strictyaml"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/relabel"
	"github.com/narthex-io/narthex/sdk"
)

// Labels of a target with a meaning of their own.
const (
	addressLabel     = "__address__"
	schemeLabel      = "__scheme__"
	metricsPathLabel = "__metrics_path__"
	intervalLabel    = "__scrape_interval__"
	timeoutLabel     = "__scrape_timeout__"
	paramPrefix      = "__param_"
)

// pluginScheme is the scheme of targets that are exporter plugins.
const pluginScheme = "plugin"

// unixSocketLabel is the label with the path of a Unix socket to connect to instead of the address.
const unixSocketLabel = "__unix_socket__"

// Labels with which targets say what is made of their histograms.
const (
	nativeLabel  = "__scrape_native_histograms__"
	classicLabel = "__always_scrape_classic_histograms__"
	convertLabel = "__convert_classic_histograms_to_nhcb__"
)

// histogramSwitches say what is made of a target's histograms.
type histogramSwitches struct{ native, classic, convert bool }

// target is something that can be scraped. It is immutable.
type target struct {
	// discovered are the labels before relabelling, labels those that samples get.
	discovered, labels labels.Labels
	url                string
	interval, timeout  time.Duration
	histograms         histogramSwitches
	// client tells how the target is talked to.
	client clientKey
	// exporter is set for exporter plugins, which are not fetched by URL.
	exporter *ExporterConfig
	// identity tells targets of a job apart: labels and URL.
	identity string
	// hash spreads targets over the interval.
	hash uint64
}

// offset returns how long after now the target is to be scraped for the first time. It is a point of the interval fixed
// by the target, the same in each run, which differs between servers with different seeds.
func (t *target) offset(now time.Time, seed uint64) time.Duration {
	interval := uint64(t.interval)
	at := (t.hash ^ seed) % interval
	passed := uint64(now.UnixNano()) % interval
	return time.Duration((at + interval - passed) % interval)
}

// offsetSeed is what makes replicas scrape apart.
func offsetSeed(hostname string, external labels.Labels) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(hostname + external.String()))
	return h.Sum64()
}

// targetSet is what the groups of a job come to.
type targetSet struct {
	active  []*target
	dropped []labels.Labels
	errs    []error
}

// makeTargets relabels everything that was discovered for a job, and its exporters.
func makeTargets(cfg *Config, groups []sdk.Group) targetSet {
	var set targetSet
	seen := map[string]bool{}
	eachAddress(cfg, groups, func(name string, b *labels.Builder, exporter *ExporterConfig) {
		t, discovered, err := makeTarget(cfg, b, exporter)
		switch {
		case err != nil:
			set.errs = append(set.errs, fmt.Errorf("target %s: %w", name, err))
		case t == nil:
			set.dropped = append(set.dropped, discovered)
		case !seen[t.identity]:
			seen[t.identity] = true
			set.active = append(set.active, t)
		}
	})
	return set
}

// eachAddress calls f for each address that was discovered for a job and for each of its exporters, with what it is called
// in errors, a builder that holds its labels, and the exporter if it is one.
func eachAddress(cfg *Config, groups []sdk.Group, f func(name string, b *labels.Builder, exporter *ExporterConfig)) {
	b := labels.NewBuilder(labels.EmptyLabels())
	for _, g := range groups {
		for _, address := range g.Targets {
			resetTo(b, g.Labels)
			b.Set(addressLabel, address)
			f(address, b, nil)
		}
	}
	for i := range cfg.Exporters {
		e := &cfg.Exporters[i]
		resetTo(b, e.Labels)
		setDefault(b, addressLabel, e.Plugin)
		b.Set(schemeLabel, pluginScheme)
		f(pluginScheme+"://"+e.Plugin, b, e)
	}
}

// CheckStaticTargets makes the targets of static_configs of a complete job, and returns what is wrong with those that cannot
// be made.
func (c *Config) CheckStaticTargets() []*strictyaml.Error {
	var bad []*strictyaml.Error
	b := labels.NewBuilder(labels.EmptyLabels())
	for i, group := range c.Discovery.Static {
		for j, address := range group.Targets {
			resetTo(b, group.Labels)
			b.Set(addressLabel, address)
			if _, _, err := makeTarget(c, b, nil); err != nil {
				path := strictyaml.Index("static_configs", i) + strictyaml.Index(".targets", j)
				bad = append(bad, &strictyaml.Error{Path: path, Err: fmt.Errorf("target %s: %w", address, err)})
			}
		}
	}
	return bad
}

func resetTo(b *labels.Builder, ls map[string]string) {
	b.Reset(labels.EmptyLabels())
	for _, name := range slices.Sorted(maps.Keys(ls)) {
		b.Set(name, ls[name])
	}
}

func setDefault(b *labels.Builder, name, value string) {
	if b.Get(name) == "" {
		b.Set(name, value)
	}
}

// makeTarget makes a target of what was discovered. It returns nil and the labels if relabelling drops it.
func makeTarget(cfg *Config, b *labels.Builder, exporter *ExporterConfig) (t *target, discovered labels.Labels, err error) {
	setDefault(b, labels.JobName, cfg.JobName)
	setDefault(b, intervalLabel, cfg.ScrapeInterval.String())
	setDefault(b, timeoutLabel, cfg.ScrapeTimeout.String())
	setDefault(b, metricsPathLabel, cfg.MetricsPath)
	setDefault(b, schemeLabel, cfg.Scheme)
	setDefault(b, nativeLabel, strconv.FormatBool(isTrue(cfg.ScrapeNativeHistograms)))
	setDefault(b, classicLabel, strconv.FormatBool(isTrue(cfg.AlwaysScrapeClassicHistograms)))
	setDefault(b, convertLabel, strconv.FormatBool(isTrue(cfg.ConvertClassicHistogramsToNHCB)))
	for name, values := range cfg.Params {
		if len(values) > 0 {
			setDefault(b, paramPrefix+name, values[0])
		}
	}
	discovered = b.Labels()
	if !relabel.Process(cfg.RelabelConfigs, b) {
		return nil, discovered, nil
	}
	t = &target{discovered: discovered, exporter: exporter}
	address := b.Get(addressLabel)
	switch {
	case address == "":
		return nil, discovered, errors.New("no address")
	case strings.Contains(address, "/"):
		return nil, discovered, fmt.Errorf("%q is not a valid hostname", address)
	}
	if t.interval, t.timeout, err = timing(b); err != nil {
		return nil, discovered, err
	}
	if t.histograms, err = switches(cfg, b); err != nil {
		return nil, discovered, err
	}
	t.client = clientKey{credential: b.Get(authRefLabel), socket: b.Get(unixSocketLabel)}
	setDefault(b, labels.InstanceName, address)
	return t.finish(cfg, b)
}

// switches reads what is to be made of histograms; a label that relabelling has dropped leaves it to the config.
func switches(cfg *Config, b *labels.Builder) (h histogramSwitches, err error) {
	read := func(label string, otherwise *bool) bool {
		value := b.Get(label)
		if value == "" {
			return isTrue(otherwise)
		}
		on, parseErr := strconv.ParseBool(value)
		if parseErr != nil && err == nil {
			err = fmt.Errorf("%s: %q is neither true nor false", label, value)
		}
		return on
	}
	h.native = read(nativeLabel, cfg.ScrapeNativeHistograms)
	h.classic = read(classicLabel, cfg.AlwaysScrapeClassicHistograms)
	h.convert = read(convertLabel, cfg.ConvertClassicHistogramsToNHCB)
	return h, err
}

// timing reads the interval and the timeout from the labels.
func timing(b *labels.Builder) (interval, timeout time.Duration, err error) {
	read := func(label, what string) time.Duration {
		d, parseErr := model.ParseDuration(b.Get(label))
		switch {
		case err != nil:
		case parseErr != nil:
			err = fmt.Errorf("scrape %s: %w", what, parseErr)
		case d == 0:
			err = fmt.Errorf("scrape %s cannot be 0", what)
		}
		return time.Duration(d)
	}
	interval, timeout = read(intervalLabel, "interval"), read(timeoutLabel, "timeout")
	if err == nil && timeout > interval {
		err = fmt.Errorf("scrape timeout %s is greater than scrape interval %s", timeout, interval)
	}
	return interval, timeout, err
}

// finish derives everything else from the relabelled set.
func (t *target) finish(cfg *Config, b *labels.Builder) (*target, labels.Labels, error) {
	var err error
	b.Range(func(name, value string) {
		if strings.HasPrefix(name, labels.MetaPrefix) {
			b.Del(name)
		}
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			err = fmt.Errorf("label %q: %q is not valid UTF-8", name, value)
		}
	})
	if err != nil {
		return nil, t.discovered, err
	}
	all := b.Labels()
	params := maps.Clone(cfg.Params)
	var public labels.ScratchBuilder
	for name, value := range all.All() {
		if param, ok := strings.CutPrefix(name, paramPrefix); ok {
			params = withParam(params, param, value)
		}
		if !strings.HasPrefix(name, labels.ReservedPrefix) {
			public.Add(name, value)
		}
	}
	t.labels = public.Labels()
	u := url.URL{
		Scheme: all.Get(schemeLabel), Host: all.Get(addressLabel), Path: all.Get(metricsPathLabel), RawQuery: params.Encode(),
	}
	t.url = u.String()
	t.identity = string(t.labels.AppendKey(nil)) + "\x00" + t.url
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%016d%s", all.Hash(), t.url)
	t.hash = h.Sum64()
	return t, t.discovered, nil
}

// withParam sets the first value of a parameter.
func withParam(params url.Values, name, value string) url.Values {
	if params == nil {
		params = url.Values{}
	}
	values := slices.Clone(params[name])
	if len(values) == 0 {
		values = []string{value}
	} else {
		values[0] = value
	}
	params[name] = values
	return params
}
