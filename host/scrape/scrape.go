// Package scrape fetches what targets expose and writes it to a storage: targets are made from discovered groups by
// relabelling, each is scraped at its own moment of the interval, and series that vanish are marked stale.
//
// Start with [Manager], and with [Config], one job. A job's targets and settings live in a pool, each target has a
// loop, and package exposition reads the bodies. The package does not discover targets, and keeps no samples.
package scrape

import (
	"encoding/json"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/narthex-io/narthex/host/httpclient"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/storage"
)

// Options are what a [Manager] needs. Log, Registerer and Storage are required.
type Options struct {
	Log        *slog.Logger
	Registerer prometheus.Registerer
	// Storage takes the samples.
	Storage storage.Appendable
	// Exporters finds the plugins behind exporters sections; required if a config has one.
	Exporters Exporters
	// Parsers finds the plugins behind parser and parsers; required if a config has one.
	Parsers Parsers
	// Signers finds the plugins behind sections of auth plugins; required if a config has one.
	Signers httpclient.Signers
	// UserAgent is sent with each scrape.
	UserAgent string
	// Hostname tells this server from its replicas, so that they scrape at different moments: the machine's fully
	// qualified name.
	Hostname string
	// TimestampTolerance is how far a scrape may be from its scheduled time and still be stored at that; it is capped
	// at 1 % of the interval. Zero stores the actual times.
	TimestampTolerance time.Duration
	// Features are what is switched on for all jobs.
	Features Features
	// BodyMemory is how many bytes the bodies of all scrapes may take at once, but for small ones; the default is 1 GiB.
	BodyMemory int64
	// NewClient makes the HTTP client of a job; the default is the one of package httpclient.
	NewClient NewClient
	// OpenLog opens a log of failed scrapes; the default appends to the file.
	OpenLog func(path string) (io.WriteCloser, error)
}

// Features are parts of scraping that are off by default.
type Features struct {
	// StartTimes finds out when counting started and hands it to the storage with each sample.
	StartTimes bool
	// StartZeros appends a sample of nothing at the time at which counting started.
	StartZeros bool
	// TypeAndUnit adds the labels __type__ and __unit__.
	TypeAndUnit bool
	// Metadata hands the metadata of each series to the storage.
	Metadata bool
	// ExtraMetrics writes the extra series about each scrape where the configuration does not say whether to.
	ExtraMetrics bool
	// Zstd asks for bodies compressed with Zstandard; those that come so are read in any case.
	Zstd bool
}

func (f Features) startTimes() bool { return f.StartTimes || f.StartZeros }

// Exporters finds the running exporter plugins.
type Exporters interface {
	// Exporter returns the exporter that serves an exporters entry with this plugin and config, and the content type
	// of what it writes; empty means text. It is called for each scrape, so that a plugin can be exchanged at any
	// time, and must be quick and safe for concurrent use.
	Exporter(plugin string, config json.RawMessage) (e sdk.Exporter, contentType string, err error)
}

// Health says how a target's last scrape went.
type Health string

// The states of a target's health; unknown is before the first scrape.
const (
	HealthUnknown Health = "unknown"
	HealthGood    Health = "up"
	HealthBad     Health = "down"
)

// TargetStatus describes one active target.
type TargetStatus struct {
	// Pool is the job's name.
	Pool string
	// Discovered are the labels before relabelling, Labels those that the target's samples get.
	Discovered, Labels labels.Labels
	// URL is where the target is fetched; plugin://NAME/metrics for an exporter plugin.
	URL string
	// LastError is empty after a good scrape.
	LastError    string
	LastScrape   time.Time
	LastDuration time.Duration
	Health       Health
	// Interval and Timeout are the target's own.
	Interval, Timeout time.Duration
}

// DroppedTargets are the targets of a pool that relabelling dropped.
type DroppedTargets struct {
	// Discovered are the labels of those that were kept for display.
	Discovered []labels.Labels
	// Count is the number of all.
	Count int
}

// MetricMetadata is what a target says about a metric family.
type MetricMetadata struct {
	Metric string
	sample.Metadata
}

// TargetMetadata is the metadata of one target.
type TargetMetadata struct {
	Pool string
	// Labels are the target's labels.
	Labels labels.Labels
	// Metrics are sorted by name.
	Metrics []MetricMetadata
}
