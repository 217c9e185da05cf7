package jwtauth

import (
	"sync"
	"time"
)

const (
	// memoryTokens and memoryBytes bound half of what is remembered.
	memoryTokens = 1000
	memoryBytes  = 2 << 20
)

// verdict is what is known about a token whose signature is good.
type verdict struct {
	user string
	// rules are the numbers of the rules that are about the token, in order.
	rules []int
	// from and until bound the time in which the token is good.
	from, until time.Time
}

// memory remembers tokens that were good, since checking a signature takes milliseconds in the sandbox. Only good ones
// get in, so that nobody without one can push others out. It is bounded by letting go of the older half at once.
type memory struct {
	mu          sync.Mutex
	young, aged map[string]verdict
	bytes       int // of the young
	version     int // of the keys that verified what is remembered
}

// get returns what is remembered of a token.
func (m *memory) get(token string) (v verdict, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok = m.young[token]; ok {
		return v, true
	}
	if v, ok = m.aged[token]; ok {
		m.add(token, v)
	}
	return v, ok
}

// put remembers a token that a key of this version of the set has verified, unless there is another version by now.
func (m *memory) put(version int, token string, v verdict) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if version == m.version {
		m.add(token, v)
	}
}

func (m *memory) add(token string, v verdict) {
	if m.young == nil || len(m.young) >= memoryTokens || m.bytes+len(token) > memoryBytes {
		m.young, m.aged, m.bytes = map[string]verdict{}, m.young, 0
	}
	m.young[token] = v
	m.bytes += len(token)
}

// forget forgets one token.
func (m *memory) forget(token string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.young[token]; ok {
		m.bytes -= len(token)
	}
	delete(m.young, token)
	delete(m.aged, token)
}

// clear forgets everything, for keys of another version.
func (m *memory) clear(version int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.young, m.aged, m.bytes = nil, nil, 0
	m.version = version
}
