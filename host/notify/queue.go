package notify

import (
	"container/list"
	"slices"
	"sync"
	"time"
)

// How long an alert may wait to be delivered. One that fires is good until its end, after which the Alertmanager would
// take it for resolved.
const (
	// resolvedAge is for how long a resolved alert is worth telling; the rules repeat it for as long.
	resolvedAge = 15 * time.Minute
	// openAge bounds alerts without an end, which the Alertmanager gives five minutes of its own.
	openAge = 5 * time.Minute
)

// queued is an alert that waits for its delivery until expires.
type queued struct {
	Alert
	key     string
	expires time.Time
}

func newQueued(a Alert, now time.Time) *queued {
	q := &queued{Alert: a, key: string(a.Labels.AppendKey(nil))}
	switch {
	case a.EndsAt.IsZero():
		q.expires = now.Add(openAge)
	case a.ResolvedAt(now):
		q.expires = now.Add(resolvedAge)
	default:
		q.expires = a.EndsAt
	}
	return q
}

// queue holds what waits for one Alertmanager, oldest first, each alert once: a newer state takes the place of an older
// one. It is bounded; when it is full, the oldest go.
type queue struct {
	capacity int
	// wake has room for one value, which says that there is something in the queue.
	wake chan struct{}

	mu    sync.Mutex
	order list.List // of *queued
	byKey map[string]*list.Element
}

func newQueue(capacity int) *queue {
	return &queue{capacity: capacity, wake: make(chan struct{}, 1), byKey: map[string]*list.Element{}}
}

// add appends alerts, or replaces older states of them. It returns how many states were replaced and how many alerts
// were dropped for want of room.
func (q *queue) add(alerts []Alert) (replaced, dropped int) {
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, a := range alerts {
		item := newQueued(a, now)
		if e := q.byKey[item.key]; e != nil {
			e.Value = item
			replaced++
			continue
		}
		q.byKey[item.key] = q.order.PushBack(item)
	}
	dropped = q.shrink()
	q.signal()
	return replaced, dropped
}

// take removes and returns up to n alerts, and all those whose time has run out before them.
func (q *queue) take(n int) (batch, expired []*queued) {
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(batch) < n {
		e := q.order.Front()
		if e == nil {
			break
		}
		item := q.remove(e)
		if item.expires.After(now) {
			batch = append(batch, item)
		} else {
			expired = append(expired, item)
		}
	}
	if q.order.Len() > 0 {
		q.signal()
	}
	return batch, expired
}

// giveBack puts a batch that could not be delivered in front again, except for alerts that have a newer state.
func (q *queue) giveBack(batch []*queued) (replaced, dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, item := range slices.Backward(batch) {
		if e := q.byKey[item.key]; e != nil {
			q.order.MoveToFront(e)
			replaced++
			continue
		}
		q.byKey[item.key] = q.order.PushFront(item)
	}
	dropped = q.shrink()
	q.signal()
	return replaced, dropped
}

// shrink drops the oldest until the queue fits. The caller holds the mutex, as for those that follow.
func (q *queue) shrink() (dropped int) {
	for q.order.Len() > q.capacity {
		q.remove(q.order.Front())
		dropped++
	}
	return dropped
}

func (q *queue) remove(e *list.Element) *queued {
	item := q.order.Remove(e).(*queued)
	delete(q.byKey, item.key)
	return item
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.order.Len()
}
