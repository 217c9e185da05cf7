package receive

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/http"
	"testing"

	"github.com/klauspost/compress/s2"
)

// BenchmarkRequest stores requests of 2000 samples of known series, from their decompression on: of one sample each, as
// senders that follow scrapes make them, and of 100 each, as those that catch up do.
func BenchmarkRequest(b *testing.B) {
	for _, per := range []int{1, 100} {
		b.Run(fmt.Sprintf("samples=%d", per), func(b *testing.B) {
			h := newHandler(b, openTSDB(b), nil)
			const samples = 2000
			var all [][]byte
			for i := range samples / per {
				times := make([]int64, per)
				all = append(all, series(target(i), times...))
			}
			message := v1(all...)
			places := timesIn(message, samples)
			r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "/", nil)
			if err != nil {
				b.Fatal(err)
			}
			r.Header.Set("Content-Type", mediaType)
			var compressed []byte
			now := int64(at)
			w := &statusOnly{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				for i, place := range places {
					now += int64((i + 1) / len(places)) // The same for a request; it has six bytes for centuries.
					putTime(message[place:], now+int64(i%per))
				}
				now += int64(per)
				compressed = s2.EncodeSnappy(compressed[:cap(compressed)], message)
				r.Body = body{bytes.NewReader(compressed)}
				b.StartTimer()
				if h.ServeHTTP(w, r); w.status != http.StatusNoContent {
					b.Fatalf("status %d: %s", w.status, w.text)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/samples, "ns/sample")
		})
	}
}

// timesIn returns where the times of n samples are in a message.
func timesIn(message []byte, n int) (places []int) {
	var now [6]byte
	putTime(now[:], at)
	for i := 0; len(places) < n; i += len(now) {
		i += bytes.Index(message[i:], now[:])
		places = append(places, i)
	}
	return places
}

func putTime(b []byte, t int64) { binary.PutUvarint(b, uint64(t)) }

type body struct{ *bytes.Reader }

func (body) Close() error { return nil }

// statusOnly is an answer of which the status is kept, and the text of an error.
type statusOnly struct {
	header http.Header
	status int
	text   string
}

func (w *statusOnly) Header() http.Header { return w.header }

func (w *statusOnly) WriteHeader(status int) { w.status = status }

func (w *statusOnly) Write(b []byte) (int, error) {
	w.text = string(b)
	return len(b), nil
}
