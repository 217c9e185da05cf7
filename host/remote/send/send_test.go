package send

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/tsdb"
)

// bubble runs a test with a clock that only goes on when everybody waits.
func bubble(t *testing.T, text string, f func(w *world)) {
	t.Helper()
	bubbleWith(t, text, labels.EmptyLabels(), nil, f)
}

func bubbleWith(t *testing.T, text string, external labels.Labels, change func(*tsdb.Options, *Options), f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, text, external, change)
		synctest.Wait()
		f(w)
		w.stop()
	})
}

const plain = `[{url: "http://x/write", name: one}]`

func TestSends(t *testing.T) {
	for _, message := range []Message{V1, V2} {
		bubble(t, `[{url: "http://x/write", send_native_histograms: true, protobuf_message: `+string(message)+`, headers: {X-Tenant: a}}]`, func(w *world) {
			for range 10 {
				w.commit(entry{ls: ls("__name__", "a"), t: millis(), v: 1}, entry{ls: ls("__name__", "b", "x", "y"), t: millis(), v: 2},
					entry{ls: ls("__name__", "h"), t: millis(), h: whole(5)})
				time.Sleep(15 * time.Second)
			}
			w.commit(entry{ls: ls("__name__", "a"), t: millis(), v: sample.StaleNaN()})
			time.Sleep(15 * time.Second)
			w.checkAll()
			h := w.to.headers[0]
			if h.Get("X-Tenant") != "a" || h.Get("Content-Encoding") != "snappy" || h.Get("Retry-Attempt") != "" {
				t.Errorf("headers are %v", h)
			}
			if n := w.metric("prometheus_remote_storage_samples_total"); n != 21 {
				t.Errorf("%v samples counted", n)
			}
			if n := w.metric("prometheus_remote_storage_histograms_total"); n != 10 {
				t.Errorf("%v histograms counted", n)
			}
			for _, name := range []string{"samples_pending", "histograms_pending", "samples_failed_total", "samples_dropped_total", "samples_retried_total"} {
				if n := w.metric("prometheus_remote_storage_" + name); n != 0 {
					t.Errorf("%s is %v", name, n)
				}
			}
		})
	}
}

func whole(count uint64) *histogram.Histogram {
	return &histogram.Histogram{
		Schema: 1, ZeroThreshold: 0.001, Count: count, Sum: 12.5,
		PositiveSpans: []histogram.Span{{Offset: -2, Length: 2}}, PositiveBuckets: []int64{int64(count) - 1, 2 - int64(count)},
	}
}

// A batch that is not full is sent when the deadline is over, a full one at once.
func TestDeadlineAndSize(t *testing.T) {
	bubble(t, `[{url: "http://x/write", queue_config: {max_samples_per_send: 3, batch_send_deadline: 10s}}]`, func(w *world) {
		w.commit(entry{ls: ls("__name__", "a"), t: millis(), v: 1})
		time.Sleep(9 * time.Second)
		if w.to.requests != 0 {
			t.Fatalf("%d requests before the deadline", w.to.requests)
		}
		time.Sleep(2 * time.Second)
		if w.to.requests != 1 {
			t.Fatalf("%d requests after the deadline", w.to.requests)
		}
		for i := range 7 {
			w.commit(entry{ls: ls("__name__", "b", "n", fmt.Sprint(i)), t: millis(), v: 1})
		}
		synctest.Wait()
		if w.to.requests != 3 {
			t.Fatalf("%d requests, when two batches were full", w.to.requests)
		}
		time.Sleep(11 * time.Second)
		w.checkAll()
	})
}

func TestExternalLabelsAndRelabelling(t *testing.T) {
	text := `[{url: "http://x/write", write_relabel_configs: [{source_labels: [__name__], regex: drop.*, action: drop}, {target_label: new, replacement: "${1}", source_labels: [region, __name__], regex: "(.*);a"}]}]`
	bubbleWith(t, text, ls("region", "eu", "own", "x"), nil, func(w *world) {
		w.commit(entry{ls: ls("__name__", "a"), t: millis(), v: 1}, entry{ls: ls("__name__", "b", "own", "mine"), t: millis(), v: 2},
			entry{ls: ls("__name__", "dropped"), t: millis(), v: 3})
		time.Sleep(6 * time.Second)
		got := w.to.all()
		if len(got) != 2 || got[`{__name__="a", new="eu", own="x", region="eu"}`] == nil && got[`a{new="eu", own="x", region="eu"}`] == nil {
			t.Errorf("received %v", got)
		}
		if n := w.metric("prometheus_remote_storage_samples_dropped_total", "reason=dropped_series"); n != 1 {
			t.Errorf("%v samples dropped", n)
		}
	})
}

// Server errors are tried again, with growing pauses or those that are asked for; others are not.
func TestRetries(t *testing.T) {
	status, tried, after := http.StatusServiceUnavailable, []time.Time(nil), ""
	bubble(t, `[{url: "http://x/write", queue_config: {batch_send_deadline: 1ms, min_backoff: 1s, max_backoff: 4s}}]`, func(w *world) {
		w.to.answer = func(r *http.Request) (int, http.Header, string, error) {
			tried = append(tried, time.Now())
			if n := len(tried); (n == 1) != (r.Header.Get("Retry-Attempt") == "") {
				t.Errorf("request %d says that it is attempt %q", n, r.Header.Get("Retry-Attempt"))
			}
			if len(tried) > 4 {
				return 0, nil, "", nil
			}
			return status, http.Header{"Retry-After": {after}}, "no, since it is late", nil
		}
		w.commit(entry{ls: ls("__name__", "a"), t: millis(), v: 1})
		time.Sleep(time.Minute)
		w.checkAll()
		var pauses []time.Duration
		for i := range tried[1:] {
			pauses = append(pauses, tried[i+1].Sub(tried[i]))
		}
		if fmt.Sprint(pauses) != "[1s 2s 4s 4s]" {
			t.Errorf("pauses are %v", pauses)
		}
		if n := w.metric("prometheus_remote_storage_samples_retried_total"); n != 4 {
			t.Errorf("%v samples tried again", n)
		}
		tried, after = nil, "7"
		w.commit(entry{ls: ls("__name__", "a"), t: millis(), v: 2})
		time.Sleep(time.Minute)
		w.checkAll()
		if pause := tried[1].Sub(tried[0]); pause != 7*time.Second {
			t.Errorf("pause is %v when 7s were asked for", pause)
		}
		tried, status = nil, http.StatusBadRequest
		w.commit(entry{ls: ls("__name__", "a"), t: millis(), v: 3})
		time.Sleep(time.Minute)
		if len(tried) != 1 || w.metric("prometheus_remote_storage_samples_failed_total") != 1 {
			t.Errorf("a refused request was tried %d times", len(tried))
		}
		if !strings.Contains(w.log.String(), "no, since it is late") {
			t.Errorf("log does not have the receiver's words:\n%s", w.log.String())
		}
	})
}

func TestRateLimit(t *testing.T) {
	for _, retried := range []bool{false, true} {
		tried := 0
		bubble(t, fmt.Sprintf(`[{url: "http://x/write", queue_config: {retry_on_http_429: %v}}]`, retried), func(w *world) {
			w.to.answer = func(*http.Request) (int, http.Header, string, error) {
				if tried++; tried == 1 {
					return http.StatusTooManyRequests, nil, "", nil
				}
				return 0, nil, "", nil
			}
			w.commit(entry{ls: ls("__name__", "a"), t: millis(), v: 1})
			time.Sleep(time.Minute)
			if got := len(w.to.all()) == 1; got != retried {
				t.Errorf("with retry_on_http_429 %v the sample was received: %v", retried, got)
			}
		})
	}
}

// Samples that have become too old are left out, also of a request that was tried before.
func TestAgeLimit(t *testing.T) {
	bubble(t, `[{url: "http://x/write", queue_config: {sample_age_limit: 1m}}]`, func(w *world) {
		down := true
		w.to.answer = func(*http.Request) (int, http.Header, string, error) {
			if down {
				return 0, nil, "", errors.New("no route")
			}
			return 0, nil, "", nil
		}
		w.commit(entry{ls: ls("__name__", "old"), t: millis() - 2*60_000, v: 1}, entry{ls: ls("__name__", "waits"), t: millis(), v: 1},
			entry{ls: ls("__name__", "fresh"), t: millis() + 55_000, v: 1})
		time.Sleep(90 * time.Second)
		down = false
		time.Sleep(time.Minute)
		if got := w.to.all(); len(got) != 1 {
			t.Errorf("received %v", got)
		}
		if n := w.metric("prometheus_remote_storage_samples_dropped_total", "reason=too_old"); n != 2 {
			t.Errorf("%v samples too old", n)
		}
		if n := w.metric("prometheus_remote_storage_samples_pending"); n != 0 {
			t.Errorf("%v samples are pending", n)
		}
	})
}

// A receiver that is gone keeps nobody waiting; when it comes back, it gets everything.
func TestOutage(t *testing.T) {
	bubble(t, `[{url: "http://x/write", queue_config: {capacity: 10, max_samples_per_send: 5}}]`, func(w *world) {
		down := true
		w.to.answer = func(*http.Request) (int, http.Header, string, error) {
			if down {
				return 0, nil, "", errors.New("connection refused")
			}
			return 0, nil, "", nil
		}
		for range 100 {
			w.commit(entry{ls: ls("__name__", "a"), t: millis(), v: 1}, entry{ls: ls("__name__", "b"), t: millis(), v: 1})
			time.Sleep(15 * time.Second)
		}
		if n := w.metric("prometheus_remote_storage_samples_pending"); n > 10+neighbours+5 {
			t.Errorf("%v samples wait in memory", n)
		}
		down = false
		time.Sleep(time.Minute)
		w.checkAll()
	})
}

// A queue that ends sends what was stored until then; one that is unchanged goes on.
func TestReload(t *testing.T) {
	bubble(t, plain, func(w *world) {
		commit := func() {
			w.commit(entry{ls: ls("__name__", "a"), t: millis(), v: 1}, entry{ls: ls("__name__", "b"), t: millis(), v: 2})
		}
		for i := range 30 {
			commit()
			switch i % 3 {
			case 0:
				w.apply(plain, labels.EmptyLabels())
			case 1:
				w.apply(fmt.Sprintf(`[{url: "http://x/write", name: one, queue_config: {capacity: %d}}]`, 100+i), labels.EmptyLabels())
			default:
				w.apply(`[]`, labels.EmptyLabels())
				w.apply(fmt.Sprintf(`[{url: "http://x/write", queue_config: {capacity: %d}}]`, 100+i), labels.EmptyLabels())
			}
			commit2 := millis()
			time.Sleep(time.Duration(i) * time.Second)
			if millis() > commit2 {
				commit()
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		w.checkAll()
	})
}

func TestUnchangedQueueGoesOn(t *testing.T) {
	bubble(t, plain, func(w *world) {
		before := w.m.queues[0]
		w.apply(plain, labels.EmptyLabels())
		if w.m.queues[0] != before {
			t.Error("an unchanged queue was replaced")
		}
		w.apply(plain, ls("x", "y"))
		if w.m.queues[0] == before {
			t.Error("a queue stays although the external labels have changed")
		}
	})
}

// What was stored when the server stops is sent, unless that takes longer than the deadline.
func TestShutdown(t *testing.T) {
	for _, dead := range []bool{false, true} {
		bubbleWith(t, plain, labels.EmptyLabels(), func(_ *tsdb.Options, o *Options) { o.FlushDeadline = 20 * time.Second }, func(w *world) {
			w.to.answer = func(*http.Request) (int, http.Header, string, error) {
				if dead {
					return http.StatusBadGateway, nil, "", nil
				}
				return 0, nil, "", nil
			}
			w.commit(entry{ls: ls("__name__", "a"), t: millis(), v: 1})
			begin := time.Now()
			w.stop()
			took := time.Since(begin)
			if dead {
				if took != 20*time.Second || !strings.Contains(w.log.String(), "samples_not_sent=1") {
					t.Errorf("stopping took %v, log:\n%s", took, w.log.String())
				}
				return
			}
			if took > time.Second {
				t.Errorf("stopping took %v", took)
			}
			w.checkAll()
		})
	}
}

// TestEverySampleOnce has random batches stored for hours, while blocks are cut and the log is shortened, the receiver fails in
// many ways, and the configuration changes. Each sample arrives once and in the order of its series.
func TestEverySampleOnce(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // replayable
			message := []Message{V1, V2}[seed%2]
			text := func() string {
				return fmt.Sprintf(`[{url: "http://x/write", send_native_histograms: true, protobuf_message: %s, queue_config: {capacity: %d, max_samples_per_send: %d, min_shards: %d, batch_send_deadline: %dms}}]`,
					message, 1+rng.IntN(500), 1+rng.IntN(100), 1+rng.IntN(5), rng.IntN(8000))
			}
			small := func(o *tsdb.Options, so *Options) { o.WALSegmentSize, so.FlushDeadline = 32<<10, 2*time.Hour }
			bubbleWith(t, text(), labels.EmptyLabels(), small, func(w *world) {
				var downUntil time.Time
				chance := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // replayable
				lock := make(chan struct{}, 1)
				w.to.answer = func(*http.Request) (int, http.Header, string, error) {
					lock <- struct{}{}
					n, pause := chance.IntN(20), time.Duration(chance.IntN(2000))*time.Millisecond
					<-lock
					time.Sleep(pause)
					switch {
					case time.Now().Before(downUntil):
						return 0, nil, "", errors.New("connection refused")
					case n == 0:
						return http.StatusInternalServerError, nil, "", nil
					case n == 1:
						return http.StatusServiceUnavailable, http.Header{"Retry-After": {"3"}}, "", nil
					}
					return 0, nil, "", nil
				}
				for round := range 1500 {
					var batch []entry
					for i := range 40 {
						if rng.IntN(4) == 0 {
							continue
						}
						// Series come and go.
						name := ls("__name__", "m", "i", fmt.Sprint(i), "era", fmt.Sprint((round+i*13)/400))
						e := entry{ls: name, t: millis(), v: rng.Float64()}
						if i%10 == 9 {
							e.h = whole(uint64(2 + rng.IntN(100)))
						}
						batch = append(batch, e)
					}
					w.commit(batch...)
					switch rng.IntN(200) {
					case 0:
						w.apply(text(), labels.EmptyLabels())
					case 1:
						downUntil = time.Now().Add(time.Duration(rng.IntN(1200)) * time.Second)
					}
					time.Sleep(time.Duration(5+rng.IntN(30)) * time.Second)
				}
				downUntil = time.Time{}
				time.Sleep(time.Hour)
				if w.db.Log().LastCheckpoint() < 0 {
					t.Error("no checkpoint was made")
				}
				w.checkAll()
				w.stop()
			})
		})
	}
}

// A receiver that is away for so long that the log is shortened misses something; how much is counted.
func TestDeletedBeforeSent(t *testing.T) {
	small := func(o *tsdb.Options, _ *Options) { o.WALSegmentSize = 32 << 10 }
	bubbleWith(t, `[{url: "http://x/write", queue_config: {capacity: 100, max_samples_per_send: 50}}]`, labels.EmptyLabels(), small, func(w *world) {
		down := true
		w.to.answer = func(*http.Request) (int, http.Header, string, error) {
			if down {
				return 0, nil, "", errors.New("connection refused")
			}
			return 0, nil, "", nil
		}
		committed := 0
		for range 2000 {
			var batch []entry
			for i := range 20 {
				batch = append(batch, entry{ls: ls("__name__", "m", "i", fmt.Sprint(i)), t: millis(), v: float64(committed)})
				committed++
			}
			w.commit(batch...)
			time.Sleep(15 * time.Second)
		}
		down = false
		time.Sleep(time.Hour)
		received := 0
		for _, all := range w.to.all() {
			received += len(all)
		}
		lost := w.metric("prometheus_remote_storage_samples_dropped_total", "reason="+deletedFirst)
		if received+int(lost) != committed || lost == 0 || received < 1000 {
			t.Errorf("%d received, %v lost, %d committed\n%s", received, lost, committed, w.log.String())
		}
		if n := w.metric("prometheus_remote_storage_samples_dropped_total", "reason="+unknownSeries); n != 0 {
			t.Errorf("%v samples of unknown series", n)
		}
	})
}

// Series that are gone are forgotten.
func TestForgets(t *testing.T) {
	for _, message := range []Message{V1, V2} {
		bubble(t, `[{url: "http://x/write", protobuf_message: `+string(message)+`}]`, func(w *world) {
			for round := range 3000 {
				w.commit(entry{ls: ls("__name__", "m", "round", fmt.Sprint(round)), t: millis(), v: 1})
				time.Sleep(15 * time.Second)
			}
			time.Sleep(time.Minute)
			w.checkAll()
			if n := w.m.queues[0].known.Load(); n > 1500 || n < 500 {
				t.Errorf("%d series are known of 3000, whose samples span 12 hours", n)
			}
		})
	}
}

// What comes out of order is sent as well.
func TestOutOfOrder(t *testing.T) {
	window := func(o *tsdb.Options, _ *Options) { o.OutOfOrderWindow = time.Hour }
	bubbleWith(t, plain, labels.EmptyLabels(), window, func(w *world) {
		w.commit(entry{ls: ls("__name__", "a"), t: millis(), v: 1})
		time.Sleep(10 * time.Second)
		w.commit(entry{ls: ls("__name__", "a"), t: millis() - 600_000, v: 2})
		time.Sleep(10 * time.Second)
		w.commit(entry{ls: ls("__name__", "b"), t: millis() - 3_000_000, v: 3}, entry{ls: ls("__name__", "c"), t: millis(), v: 3})
		time.Sleep(10 * time.Second)
		w.checkAll()
	})
}
