package send

import (
	"math"
	"sync/atomic"
	"time"
)

// reshardInterval is how often the number of shards is thought over.
const reshardInterval = 10 * time.Second

// rate is a moving average of what was counted in a second, over intervals.
type rate struct {
	counted atomic.Int64
	// What follows belongs to who calls tick.
	perSecond float64
	begun     bool
}

func (r *rate) add(n int64) { r.counted.Add(n) }

func (r *rate) tick(counted int64) {
	const weight = 0.2
	now := float64(counted) / reshardInterval.Seconds()
	if r.begun {
		now = r.perSecond + weight*(now-r.perSecond)
	}
	r.perSecond, r.begun = now, counted > 0 || r.begun
}

// load is how much comes in and goes out, as the number of shards follows from it.
type load struct {
	in, out, dropped rate
	// took is the time in nanoseconds that requests took.
	took rate
	// seen is what had come in at the last tick.
	seen int64
	// lastSent is when a request was answered last, pausedUntil until when another number of shards would not help, both as
	// Unix nanoseconds.
	lastSent, pausedUntil atomic.Int64
}

// tolerance is the share by which the number of shards may be off.
const tolerance = 0.3

// tick closes an interval. in is what has come in at all.
func (l *load) tick(in int64) {
	l.in.tick(in - l.seen)
	l.seen = in
	for _, r := range []*rate{&l.out, &l.dropped, &l.took} {
		r.tick(r.counted.Swap(0))
	}
}

// desired returns the number of shards that is needed to send what comes in, and to catch up with five percent of what is
// pending each second. ok is false if that is not known. behind is how far, in seconds, sending is behind.
func (l *load) desired(behind float64) (shards float64, ok bool) {
	if l.out.perSecond <= 0 {
		return 0, false
	}
	kept := l.out.perSecond / (l.dropped.perSecond + l.out.perSecond)
	pending := behind * l.in.perSecond * kept
	perSample := l.took.perSecond / float64(time.Second) / l.out.perSecond
	return perSample * (l.in.perSecond*kept + 0.05*pending), true
}

// next returns the number of shards to have, given how many there are.
func (c *QueueConfig) next(now int, desired, behind float64) int {
	desired = math.Ceil(desired)
	if low, high := float64(now)*(1-tolerance), float64(now)*(1+tolerance); low <= desired && desired <= high {
		return now
	}
	if desired < float64(now) && behind > 10 {
		return now // Who lags does not need fewer.
	}
	return int(min(max(desired, float64(c.MinShards)), float64(c.MaxShards)))
}

// pause says that another number of shards makes no sense for a while.
func (l *load) pause(until time.Time) {
	for {
		before := l.pausedUntil.Load()
		if before >= until.UnixNano() || l.pausedUntil.CompareAndSwap(before, until.UnixNano()) {
			return
		}
	}
}

// settled reports whether requests are answered, so that their times say something.
func (l *load) settled(now time.Time) bool {
	return l.lastSent.Load() >= now.Add(-reshardInterval).UnixNano() && l.pausedUntil.Load() <= now.UnixNano()
}
