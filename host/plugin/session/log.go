package session

import (
	"bytes"
	"cmp"
	"context"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// LogLimits bound what a guest can write to the host's log. Zero fields mean the default in brackets.
type LogLimits struct {
	// LinesPerSecond is the lasting rate. [50]
	LinesPerSecond int
	// Burst is how many lines may come at once. [200]
	Burst int
	// LineBytes is where a line is cut. [4096]
	LineBytes int
}

// flood is how many lines in floodWindow are too many.
func (l LogLimits) flood() int { return floodFactor * l.LinesPerSecond * int(floodWindow/time.Second) }

// Log turns a guest's stderr into lines of the host's log. A line as the SDK writes it, level=INFO msg="…" key=value …,
// becomes a record of that level with those attributes; any other line becomes an info record. Lines over the rate are
// dropped and counted; the count is logged when lines pass again, and by Close. It is safe for concurrent use.
type Log struct {
	logger *slog.Logger
	limits LogLimits
	now    func() time.Time

	mu      sync.Mutex
	line    []byte
	cut     bool
	tokens  float64
	last    time.Time
	dropped int
	total   uint64

	window  time.Time // when counting for flooded began
	counted int       // lines since then
	flooded chan struct{}
	isFlood bool
}

// A guest floods its log when it writes floodFactor times more lines than it may during floodWindow.
const (
	floodFactor = 20
	floodWindow = 10 * time.Second
)

// NewLog returns a Log that writes to logger, which carries the plugin's name.
func NewLog(logger *slog.Logger, l LogLimits) *Log {
	l = LogLimits{
		LinesPerSecond: cmp.Or(l.LinesPerSecond, 50),
		Burst:          cmp.Or(l.Burst, 200),
		LineBytes:      cmp.Or(l.LineBytes, 4096),
	}
	return &Log{logger: logger, limits: l, now: time.Now, tokens: float64(l.Burst), flooded: make(chan struct{})}
}

// Flooded is closed when the guest writes many times more than its rate.
func (l *Log) Flooded() <-chan struct{} { return l.flooded }

// Write implements io.Writer; it never fails, so that a guest cannot tell whether it is heard.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for rest := p; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		part := rest
		if i >= 0 {
			part = rest[:i]
		}
		if room := l.limits.LineBytes - len(l.line); len(part) > room {
			part, l.cut = part[:room], true
		}
		l.line = append(l.line, part...)
		if i < 0 {
			break
		}
		l.flush()
		rest = rest[i+1:]
	}
	return len(p), nil
}

// Close logs an unfinished line and the number of lines dropped.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.line) > 0 {
		l.flush()
	}
	l.reportDropped()
	return nil
}

// Dropped returns how many lines were dropped so far.
func (l *Log) Dropped() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

func (l *Log) flush() {
	line := string(l.line)
	if l.cut {
		line += "…"
	}
	l.line, l.cut = l.line[:0], false
	now := l.now()
	if !l.last.IsZero() {
		l.tokens = min(float64(l.limits.Burst), l.tokens+now.Sub(l.last).Seconds()*float64(l.limits.LinesPerSecond))
	}
	l.last = now
	l.count(now)
	if l.tokens < 1 {
		l.dropped++
		l.total++
		return
	}
	l.tokens--
	l.reportDropped()
	l.record(now, line)
}

// count looks for floods.
func (l *Log) count(now time.Time) {
	if now.Sub(l.window) >= floodWindow {
		l.window, l.counted = now, 0
	}
	l.counted++
	if !l.isFlood && l.counted > l.limits.flood() {
		l.isFlood = true
		close(l.flooded)
	}
}

func (l *Log) reportDropped() {
	if l.dropped > 0 {
		l.logger.Warn("plugin logs too much, lines were dropped", "lines", l.dropped)
		l.dropped = 0
	}
}

func (l *Log) record(now time.Time, line string) {
	level, msg, attrs := parseLine(line)
	ctx := context.Background()
	if h := l.logger.Handler(); h.Enabled(ctx, level) {
		var here [1]uintptr // A record without a place would be shown with a broken one.
		runtime.Callers(1, here[:])
		r := slog.NewRecord(now, level, msg, here[0])
		r.AddAttrs(attrs...)
		_ = h.Handle(ctx, r) // like slog itself: there is no better place to tell
	}
}

// parseLine splits level=LEVEL msg="text" key=value …; what has another form is a message at info level.
func parseLine(line string) (slog.Level, string, []slog.Attr) {
	var level slog.Level
	rest, ok := strings.CutPrefix(line, "level=")
	if !ok {
		return slog.LevelInfo, line, nil
	}
	name, rest, _ := strings.Cut(rest, " ")
	if level.UnmarshalText([]byte(name)) != nil {
		return slog.LevelInfo, line, nil
	}
	msg, attrs := "", []slog.Attr(nil)
	for rest != "" {
		var key, value string
		if key, value, rest, ok = nextPair(rest); !ok {
			return slog.LevelInfo, line, nil
		}
		if key == "msg" && msg == "" {
			msg = value
		} else {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	return level, msg, attrs
}

// nextPair takes key=value or key="quoted value" from the start of s.
func nextPair(s string) (key, value, rest string, ok bool) {
	key, rest, ok = strings.Cut(s, "=")
	if !ok || key == "" || strings.ContainsAny(key, " \"") {
		return "", "", "", false
	}
	if !strings.HasPrefix(rest, `"`) {
		value, rest, _ = strings.Cut(rest, " ")
		return key, value, rest, true
	}
	quoted, err := strconv.QuotedPrefix(rest)
	if err != nil {
		return "", "", "", false
	}
	if value, err = strconv.Unquote(quoted); err != nil {
		return "", "", "", false
	}
	rest = strings.TrimPrefix(rest[len(quoted):], " ")
	return key, value, rest, true
}
