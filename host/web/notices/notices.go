// Package notices keeps what operators who look at the server have to know right now, such as that the configuration
// could not be loaded, and tells those who listen when that changes.
//
// Start with [New], [Board.Set] and [Board.Subscribe].
package notices

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The notices that there are.
const (
	Starting     = "The server is starting: it reads the write-ahead log, and then loads its configuration and plugins."
	ReloadFailed = "The configuration could not be loaded. The old one stays in force."
	Stopping     = "The server is stopping."
)

// Notice is something to know.
type Notice struct {
	Text string `json:"text"`
	// Date is when it became true, or was last found to be.
	Date time.Time `json:"date"`
	// Active is false in a message that it is over.
	Active bool `json:"active"`
}

// waiting is how many messages wait for a subscriber; more are dropped.
const waiting = 10

// Board is safe for concurrent use.
type Board struct {
	max           int
	subscribed    prometheus.Gauge
	sent, dropped prometheus.Counter

	mu          sync.Mutex
	active      []Notice
	subscribers map[chan Notice]struct{}
	closed      bool
}

// New returns a board without notices for at most max subscribers.
func New(maxSubscribers int, reg prometheus.Registerer) (*Board, error) {
	b := &Board{
		max: maxSubscribers, subscribers: map[chan Notice]struct{}{},
		subscribed: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "prometheus_api_notification_active_subscribers", Help: "Number of clients that listen for notifications.",
		}),
		sent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "prometheus_api_notification_updates_sent_total", Help: "Number of messages to clients that listen for notifications.",
		}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "prometheus_api_notification_updates_dropped_total", Help: "Number of messages that clients were too slow for.",
		}),
	}
	for _, c := range []prometheus.Collector{b.subscribed, b.sent, b.dropped} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of notifications: %w", err)
		}
	}
	return b, nil
}

// Set says whether a notice is true.
func (b *Board) Set(text string, active bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := Notice{Text: text, Date: time.Now(), Active: active}
	i := slices.IndexFunc(b.active, func(a Notice) bool { return a.Text == text })
	switch {
	case i < 0 && !active:
		return
	case i < 0:
		b.active = append(b.active, n)
	case active:
		b.active[i].Date = n.Date
	default:
		n.Date = b.active[i].Date
		b.active = slices.Delete(slices.Clone(b.active), i, i+1)
	}
	for s := range b.subscribers {
		b.send(s, n)
	}
}

// send does not wait for slow subscribers.
func (b *Board) send(to chan<- Notice, n Notice) {
	b.sent.Inc()
	select {
	case to <- n:
	default:
		b.dropped.Inc()
	}
}

// Active returns what is true now, the oldest first.
func (b *Board) Active() []Notice {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.active)
}

// Subscribe returns a channel with what is true now and then with all changes, which is closed when the server stops, and
// a function that ends the subscription. It reports false when there are too many already.
func (b *Board) Subscribe() (notices <-chan Notice, end func(), ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || len(b.subscribers) >= b.max {
		return nil, nil, false
	}
	c := make(chan Notice, waiting)
	b.subscribers[c] = struct{}{}
	b.subscribed.Set(float64(len(b.subscribers)))
	for _, n := range b.active {
		b.send(c, n)
	}
	return c, func() { b.end(c) }, true
}

func (b *Board) end(c chan Notice) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.subscribers, c)
	b.subscribed.Set(float64(len(b.subscribers)))
}

// Close ends all subscriptions; later ones are refused.
func (b *Board) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.subscribers {
		close(c)
	}
	clear(b.subscribers)
	b.subscribed.Set(0)
	b.closed = true
}
