package promql

import (
	"context"
	"slices"
	"sync"
)

// queue hands out the places that queries run on. When none is free, queries wait: a place that becomes free goes in turn
// to a rule and to another query, so that rules never starve behind dashboards, nor the other way round; among the rules
// it goes in turn to their groups, among the others in turn to the clients; and queries of the same origin are served in
// order.
type queue struct {
	mu sync.Mutex
	// size is the number of places. The first given ones have been used, of which those in free are unused again. Nobody
	// waits while a place is free.
	size, given int
	free        []int
	rules       lane
	others      lane
	// ruleLast says that the last place went to a rule that had waited.
	ruleLast bool
}

// ticket receives the place that a query has waited for.
type ticket chan int

func newQueue(size int) *queue { return &queue{size: size} }

// enter returns a place, counted from zero, which the caller gives back with leave. It fails if ctx ends before there is
// one.
func (q *queue) enter(ctx context.Context, o *Origin) (int, error) {
	q.mu.Lock()
	if place, ok := q.take(); ok {
		q.mu.Unlock()
		return place, nil
	}
	t, key, in := make(ticket, 1), o.key(), &q.others
	if o.Rule != nil {
		in = &q.rules
	}
	in.push(key, t)
	q.mu.Unlock()
	select {
	case place := <-t:
		return place, nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	waiting := in.remove(key, t)
	q.mu.Unlock()
	if !waiting {
		q.leave(<-t) // A place came at the same moment.
	}
	return 0, ctx.Err()
}

func (q *queue) take() (int, bool) {
	if n := len(q.free); n > 0 {
		place := q.free[n-1]
		q.free = q.free[:n-1]
		return place, true
	}
	if q.given == q.size {
		return 0, false
	}
	q.given++
	return q.given - 1, true
}

// leave hands a place to the next one.
func (q *queue) leave(place int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	first, second := &q.rules, &q.others
	if q.ruleLast {
		first, second = second, first
	}
	for _, l := range []*lane{first, second} {
		if t, ok := l.pop(); ok {
			q.ruleLast = l == &q.rules
			t <- place
			return
		}
	}
	q.free = append(q.free, place)
}

// lane holds waiting queries by origin. The origin that was served last goes to the end.
type lane struct {
	order   []string
	waiting map[string][]ticket
}

func (l *lane) push(key string, t ticket) {
	if l.waiting == nil {
		l.waiting = map[string][]ticket{}
	}
	if len(l.waiting[key]) == 0 {
		l.order = append(l.order, key)
	}
	l.waiting[key] = append(l.waiting[key], t)
}

func (l *lane) pop() (ticket, bool) {
	if len(l.order) == 0 {
		return nil, false
	}
	key := l.order[0]
	t := l.waiting[key][0]
	l.remove(key, t)
	if len(l.waiting[key]) > 0 {
		l.order = append(l.order[1:], key)
	}
	return t, true
}

// remove reports whether the ticket was still there.
func (l *lane) remove(key string, t ticket) bool {
	all := l.waiting[key]
	i := slices.Index(all, t)
	if i < 0 {
		return false
	}
	if all = slices.Delete(all, i, i+1); len(all) > 0 {
		l.waiting[key] = all
		return true
	}
	delete(l.waiting, key)
	l.order = slices.DeleteFunc(l.order, func(k string) bool { return k == key })
	return true
}
