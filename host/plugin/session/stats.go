package session

import (
	"sync/atomic"
	"time"
)

// Stats are a session's counters since it was opened.
type Stats struct {
	Calls        uint64
	CallsFailed  uint64
	BytesIn      uint64 // payloads from the guest
	BytesOut     uint64 // payloads to the guest
	HTTPRequests uint64 // sent and refused
	FileRequests uint64 // served and refused
	DNSRequests  uint64 // look-ups, served and refused
	Connections  uint64 // over TCP, made, failed and refused
	LogDropped   uint64 // log lines over the rate
	Refused      uint64 // requests of any kind without a grant
	Updates      uint64 // of a discovery
	// LastUpdate is when the last update of a discovery came; zero before the first.
	LastUpdate time.Time
	// MemoryBytes is what the guest holds: linear memory of a sandbox, resident memory of a process; 0 if unknown.
	MemoryBytes uint64
}

type counters struct {
	calls, callsFailed, bytesIn, bytesOut, http, files, dns, dials, refused, updates atomic.Uint64
	lastUpdate                                                                       atomic.Int64 // Unix nanoseconds
}

// Stats returns the counters.
func (s *Session) Stats() Stats {
	c := &s.stats
	out := Stats{
		Calls: c.calls.Load(), CallsFailed: c.callsFailed.Load(),
		BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
		HTTPRequests: c.http.Load(), FileRequests: c.files.Load(), DNSRequests: c.dns.Load(), Connections: c.dials.Load(), Refused: c.refused.Load(),
		Updates: c.updates.Load(),
	}
	if t := c.lastUpdate.Load(); t != 0 {
		out.LastUpdate = time.Unix(0, t)
	}
	if s.log != nil {
		out.LogDropped = s.log.Dropped()
	}
	if m, ok := s.transport.(interface{ MemoryBytes() uint64 }); ok {
		out.MemoryBytes = m.MemoryBytes()
	}
	return out
}
