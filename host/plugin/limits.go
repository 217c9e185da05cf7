package plugin

import (
	"cmp"
	"fmt"
	"time"

	"github.com/prometheus/common/model"

	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/internal/strictyaml"
)

// Limits bound one guest. Zero means the default, in brackets. They hold wherever a guest runs, unless a field says
// otherwise.
type Limits struct {
	// Memory is the linear memory of a sandboxed guest [64MiB]; for a native one, the memory of its process that no file
	// backs, which Go's runtime in it tries to keep below nine tenths of that [none].
	Memory Size `yaml:"memory,omitempty"`
	// CallTimeout bounds one call, such as a collection of an exporter. [30s]
	CallTimeout model.Duration `yaml:"call_timeout,omitempty"`
	// StartTimeout is the time from a guest's first instruction until it is ready. [15s]
	StartTimeout model.Duration `yaml:"start_timeout,omitempty"`
	// Output is the largest answer to a call, such as an exposition. [16MiB]
	Output Size `yaml:"output,omitempty"`
	// Message is the largest payload of a frame in either direction. [64MiB, or Output if that is more]
	Message Size `yaml:"message,omitempty"`
	// Queue is how much may wait for a sandboxed guest to read it. [1MiB]
	Queue Size `yaml:"queue,omitempty"`
	// OpenFiles is how many requests for files may be open at a time, and likewise watches. [16]
	OpenFiles int `yaml:"open_files,omitempty"`
	// Requests is how many HTTP requests may be open at a time, and likewise look-ups. [64]
	Requests int `yaml:"requests,omitempty"`
	// Connections is how many TCP connections may be open at a time. [16]
	Connections int `yaml:"connections,omitempty"`
	// LogRate is the lasting rate of log lines a second; four times as many may come at once. [50]
	LogRate int `yaml:"log_rate,omitempty"`
	// Targets is how many targets, and how many sources that have any, a discovery may have at a time. [250000]
	Targets int `yaml:"targets,omitempty"`
}

const (
	minMemory  = 2 << 20 // A Go guest needs that much to say hello.
	maxMemory  = 4 << 30 // the address space of a wasm module
	minMessage = 64 << 10
	maxMessage = 1 << 30
	minQueue   = 4 << 10

	defaultMessage = 64 << 20
	defaultTargets = 250_000

	minCallTimeout  = time.Millisecond
	maxCallTimeout  = time.Hour
	minStartTimeout = 100 * time.Millisecond
	maxStartTimeout = 10 * time.Minute

	maxOpenFiles = 1024 // and connections
	maxRequests  = 10_000
	maxLogRate   = 10_000
	maxTargets   = 10_000_000
	logBurst     = 4 // times the rate
)

// validate returns a mistake for each field that is out of its range.
func (l *Limits) validate() []error {
	var errs []error
	check := func(ok bool, field, format string, args ...any) {
		if !ok {
			errs = append(errs, strictyaml.At("limits."+field, fmt.Errorf(format, args...)))
		}
	}
	size := func(field string, v Size, low, high uint64) {
		check(v == 0 || v >= Size(low) && v <= Size(high), field, "%v is not between %v and %v", v, Size(low), Size(high))
	}
	span := func(field string, d model.Duration, low, high time.Duration) {
		check(d == 0 || time.Duration(d) >= low && time.Duration(d) <= high, field, "%v is not between %v and %v",
			time.Duration(d), low, high)
	}
	count := func(field string, n, high int) {
		check(n >= 0 && n <= high, field, "%d is not between 1 and %d", n, high)
	}
	size("memory", l.Memory, minMemory, maxMemory)
	size("output", l.Output, 1, maxMessage)
	size("message", l.Message, minMessage, maxMessage)
	size("queue", l.Queue, minQueue, maxMessage)
	check(l.Message == 0 || l.Output <= l.Message, "output", "%v does not fit in a message of %v", l.Output, l.Message)
	span("call_timeout", l.CallTimeout, minCallTimeout, maxCallTimeout)
	span("start_timeout", l.StartTimeout, minStartTimeout, maxStartTimeout)
	count("open_files", l.OpenFiles, maxOpenFiles)
	count("requests", l.Requests, maxRequests)
	count("connections", l.Connections, maxOpenFiles)
	count("log_rate", l.LogRate, maxLogRate)
	count("targets", l.Targets, maxTargets)
	return errs
}

// messageBytes is the largest payload.
func (l *Limits) messageBytes() uint32 {
	return uint32(cmp.Or(l.Message, max(defaultMessage, l.Output))) //nolint:gosec // validated to be at most 1 GiB
}

// session returns what the session watches over.
//
//nolint:gosec // all validated
func (l *Limits) session() session.Limits {
	return session.Limits{
		MessageBytes:    l.messageBytes(),
		OutputBytes:     uint32(l.Output),
		StartTimeout:    time.Duration(l.StartTimeout),
		CallTimeout:     time.Duration(l.CallTimeout),
		HTTPConcurrent:  uint32(l.Requests),
		FilesConcurrent: uint32(l.OpenFiles),
		DialConcurrent:  uint32(l.Connections),
	}
}

func (l *Limits) log() session.LogLimits {
	return session.LogLimits{LinesPerSecond: l.LogRate, Burst: logBurst * l.LogRate}
}
