package receive

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/klauspost/compress/s2"
	"golang.org/x/sync/semaphore"
)

const (
	// maxBody bounds a request in bytes, as it comes and decompressed.
	maxBody = 32 << 20
	// smallBody is what a body may take without being counted.
	smallBody = 1 << 20
	// staging is how much memory a byte of a request may take, decompressed, until it is stored.
	staging = 8
	// patience is how long a request waits for room.
	patience = 10 * time.Second
	// maxKept bounds the buffers that idle requests keep.
	maxKept = 4 << 20
)

const defaultMemory, minMemory = 1 << 30, 64 << 20

// memory bounds what requests take together. Bodies that are being read, which can take as long as a client likes, and
// requests that are being stored each have half of it, so that neither keeps the other from ending.
type memory struct {
	half            int64
	bodies, storing *semaphore.Weighted
}

func newMemory(bytes int64) *memory {
	if bytes == 0 {
		bytes = defaultMemory
	}
	half := max(bytes, minMemory) / 2
	return &memory{half: half, bodies: semaphore.NewWeighted(half), storing: semaphore.NewWeighted(half)}
}

// errBusy is a request for which there is no room.
var errBusy = &refusal{http.StatusServiceUnavailable, errors.New("too many remote write requests at once: no memory is left for this one")}

// reserve waits for room to store a request.
func (m *memory) reserve(ctx context.Context, bytes int64) (release func(), err error) {
	bytes = min(bytes, m.half)
	if !m.storing.TryAcquire(bytes) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if m.storing.Acquire(ctx, bytes) != nil {
			return nil, errBusy
		}
	}
	return func() { m.storing.Release(bytes) }, nil
}

// read reads and decompresses a body into the memory of a request. release gives back what was reserved.
func (h *Handler) read(r *http.Request, req *request) (release func(), err error) {
	counted := int64(0)
	defer func() { h.memory.bodies.Release(counted) }()
	if req.compressed, err = readAll(r.Body, req.compressed[:0], func(more int64) bool {
		ok := h.memory.bodies.TryAcquire(more)
		if ok {
			counted += more
		}
		return ok
	}); err != nil {
		return nil, err
	}
	size, err := s2.DecodedLen(req.compressed)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "decompress the body: snappy: %w", err)
	}
	if size > maxBody {
		return nil, refuse(http.StatusBadRequest, "decoded size exceeds the %d bytes limit", maxBody)
	}
	if release, err = h.memory.reserve(r.Context(), int64(size)*staging); err != nil {
		return nil, err
	}
	if req.body, err = s2.Decode(req.body[:cap(req.body)], req.compressed); err != nil {
		release()
		return nil, refuse(http.StatusBadRequest, "decompress the body: snappy: %w", err)
	}
	return release, nil
}

// readAll appends what r holds to b. grow is asked for room beyond that of a small body.
func readAll(r io.Reader, b []byte, grow func(more int64) bool) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			size := max(2*cap(b), 64<<10)
			if size > smallBody && !grow(int64(size-cap(b))) {
				return b, errBusy
			}
			b = append(make([]byte, 0, size), b...)
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case len(b) > maxBody:
			return b, refuse(http.StatusRequestEntityTooLarge, "request body exceeds the %d bytes limit", maxBody)
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return b, refuse(http.StatusBadRequest, "read the body: %w", err)
		}
	}
}
