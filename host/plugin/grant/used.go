package grant

import (
	"maps"
	"strings"
	"sync"
	"time"
)

const (
	// maxUsed bounds the grants of a kind that are counted one by one.
	maxUsed = 200
	// otherUsed counts the rest.
	otherUsed = "(others)"
	// maxRefused is the length in bytes at which a refusal's text is cut.
	maxRefused = 300
)

// Used says what was used of what was granted, by grant: how many requests went to an origin, how many files were looked at
// for a pattern, how often a name was looked up, how many connections were made to a host and port.
type Used struct {
	HTTP  map[string]uint64 `json:"http"`
	Files map[string]uint64 `json:"files"`
	DNS   map[string]uint64 `json:"dns"`
	Dial  map[string]uint64 `json:"dial"`
	// Refused is what was asked for and not granted.
	Refused Refused `json:"refused"`
}

// Refused counts refusals.
type Refused struct {
	Count uint64 `json:"count"`
	// Last is what the last one said, and LastTime when that was.
	Last     string    `json:"last,omitempty"`
	LastTime time.Time `json:"lastTime,omitzero"`
}

// Plus returns u and v together. Neither is changed.
func (u Used) Plus(v Used) Used {
	out := Used{HTTP: plus(u.HTTP, v.HTTP), Files: plus(u.Files, v.Files), DNS: plus(u.DNS, v.DNS), Dial: plus(u.Dial, v.Dial), Refused: u.Refused}
	if v.Refused.LastTime.After(u.Refused.LastTime) {
		out.Refused = v.Refused
	}
	out.Refused.Count = u.Refused.Count + v.Refused.Count
	return out
}

func plus(a, b map[string]uint64) map[string]uint64 {
	sum := make(map[string]uint64, len(a)+len(b))
	maps.Copy(sum, a)
	for name, n := range b {
		add(sum, name, n)
	}
	return sum
}

func add(counts map[string]uint64, name string, n uint64) {
	if _, known := counts[name]; !known && len(counts) >= maxUsed {
		name = otherUsed
	}
	counts[name] += n
}

// Usage counts for one guest. Nil counts nothing. It is safe for concurrent use.
type Usage struct {
	mu   sync.Mutex
	used Used
}

func newUsage() *Usage {
	return &Usage{used: Used{}.Plus(Used{})} // with maps
}

// Used returns what was counted so far.
func (u *Usage) Used() Used {
	if u == nil {
		return Used{}.Plus(Used{})
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.used.Plus(Used{})
}

// Refuse counts a refusal, an error that wraps [ErrNotGranted].
func (u *Usage) Refuse(err error) {
	if u == nil {
		return
	}
	text := err.Error()
	if len(text) > maxRefused {
		text = strings.ToValidUTF8(text[:maxRefused], "") + "…"
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.used.Refused = Refused{Count: u.used.Refused.Count + 1, Last: text, LastTime: time.Now()}
}

// count counts a use of a grant; of picks its kind.
func (u *Usage) count(of func(*Used) map[string]uint64, grant string) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	add(of(&u.used), grant, 1)
}
