package web

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzhttp"
	"github.com/klauspost/compress/zlib"
)

// compress answers in gzip where the client takes it and the answer is worth it, or else in deflate.
func compress(h http.Handler) http.Handler {
	zipped := gzhttp.GzipHandler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !onlyDeflate(r.Header.Get("Accept-Encoding")) {
			zipped.ServeHTTP(w, r)
			return
		}
		d := &deflated{ResponseWriter: w}
		h.ServeHTTP(d, r)
		d.close()
	})
}

// onlyDeflate reports whether a client takes deflate and nothing better.
func onlyDeflate(accepted string) (deflate bool) {
	for part := range strings.SplitSeq(accepted, ",") {
		name, quality, _ := strings.Cut(strings.ReplaceAll(part, " ", ""), ";")
		if strings.Trim(quality, "q=0.") == "" && quality != "" {
			continue // It is refused.
		}
		switch strings.ToLower(name) {
		case "deflate":
			deflate = true
		case "gzip", "zstd", "*":
			return false
		}
	}
	return deflate
}

// deflated compresses an answer with a body.
type deflated struct {
	http.ResponseWriter
	z       *zlib.Writer
	decided bool
}

// WriteHeader decides whether there is a body.
func (d *deflated) WriteHeader(status int) {
	if !d.decided && status >= http.StatusOK {
		d.decided = true
		h := d.Header()
		h.Add("Vary", "Accept-Encoding")
		if status != http.StatusNoContent && status != http.StatusNotModified && h.Get("Content-Encoding") == "" {
			h.Set("Content-Encoding", "deflate")
			h.Del("Content-Length")
			d.z = zlib.NewWriter(d.ResponseWriter)
		}
	}
	d.ResponseWriter.WriteHeader(status)
}

// Write writes a part of the body.
func (d *deflated) Write(p []byte) (int, error) {
	if !d.decided {
		if d.Header().Get("Content-Type") == "" {
			d.Header().Set("Content-Type", http.DetectContentType(p))
		}
		d.WriteHeader(http.StatusOK)
	}
	if d.z == nil {
		return d.ResponseWriter.Write(p)
	}
	n, err := d.z.Write(p)
	if err != nil {
		return n, fmt.Errorf("compress answer: %w", err)
	}
	return n, nil
}

// Flush sends what was written.
func (d *deflated) Flush() {
	if d.z != nil {
		_ = d.z.Flush() // Writing on will fail as well.
	}
	if f, ok := d.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

// close ends the body; a client that has gone needs none.
func (d *deflated) close() {
	if d.z != nil {
		_ = d.z.Close()
	}
}
