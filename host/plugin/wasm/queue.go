package wasm

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/narthex-io/narthex/sdk/wire"
)

// queue holds the frames on their way to a guest, as the bytes that the guest will read. It has many writers and one
// reader, the guest's thread, and is bounded: see StartOptions.QueueBytes.
type queue struct {
	max int

	mu    sync.Mutex
	bytes []byte        // unread
	room  chan struct{} // closed and replaced when bytes were read
	// ready holds one token when bytes may have come. Only the guest's thread takes it.
	ready chan struct{}
}

func newQueue(maxBytes int) *queue {
	return &queue{max: maxBytes, room: make(chan struct{}), ready: make(chan struct{}, 1)}
}

// push appends a frame, waiting for room until ctx is done or closed is.
func (q *queue) push(ctx context.Context, closed <-chan struct{}, f wire.Frame) error {
	size := wire.HeaderSize + len(f.Payload)
	for {
		q.mu.Lock()
		if len(q.bytes) == 0 || len(q.bytes)+size <= q.max {
			q.bytes = wire.AppendFrame(q.bytes, f)
			q.mu.Unlock()
			select {
			case q.ready <- struct{}{}:
			default:
			}
			return nil
		}
		room := q.room
		q.mu.Unlock()
		select {
		case <-room:
		case <-closed:
			return errClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// read moves unread bytes to b.
func (q *queue) read(b []byte) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := copy(b, q.bytes)
	q.consume(n)
	return n
}

// readFrame moves the next frame to b and returns its size; when b is too small, nothing moves. The size is 0 when
// there is no frame.
func (q *queue) readFrame(b []byte) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.bytes) < wire.HeaderSize {
		return 0
	}
	size := wire.HeaderSize + int(binary.LittleEndian.Uint32(q.bytes[8:]))
	if size <= len(b) {
		copy(b, q.bytes[:size])
		q.consume(size)
	}
	return size
}

func (q *queue) consume(n int) {
	if n == 0 {
		return
	}
	q.bytes = q.bytes[n:]
	if len(q.bytes) == 0 {
		q.bytes = nil
	}
	close(q.room)
	q.room = make(chan struct{})
}

func (q *queue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.bytes) == 0
}

// wait blocks until bytes can be read, or d has passed (when it is not negative), or done is closed. With events false
// it waits for time and done alone. It reports whether bytes can be read.
func (q *queue) wait(done <-chan struct{}, events bool, d time.Duration) bool {
	if events && !q.empty() {
		return true
	}
	if d == 0 {
		return false
	}
	var timeout <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		timeout = t.C
	}
	ready := q.ready
	if !events {
		ready = nil
	}
	for {
		select {
		case <-ready:
			if !q.empty() { // the token can be older than the last read
				return true
			}
		case <-timeout:
			return false
		case <-done:
			return false
		}
	}
}
