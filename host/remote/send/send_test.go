package send

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
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
		if w.to.count() != 0 {
			t.Fatalf("%d requests before the deadline", w.to.count())
		}
		time.Sleep(2 * time.Second)
		if w.to.count() != 1 {
			t.Fatalf("%d requests after the deadline", w.to.count())
		}
		for i := range 7 {
			w.commit(entry{ls: ls("__name__", "b", "n", fmt.Sprint(i)), t: millis(), v: 1})
		}
		synctest.Wait()
		if w.to.count() != 3 {
			t.Fatalf("%d requests, when two batches were full", w.to.count())
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
	bubble(t, `[{url: "http://x/write", queue_config: {batch_send_deadline: 1ms, min_backoff: 1s, max_backoff: 4s}}]`, func(w *world) {
		var mu sync.Mutex
		var tried []time.Time
		// failing has the first requests for a sample answered with a status, and returns when they came.
		failing := func(v float64, failures, status int, after string) []time.Time {
			mu.Lock()
			tried = nil
			w.to.answer = func(r *http.Request) (int, http.Header, string, error) {
				mu.Lock()
				defer mu.Unlock()
				tried = append(tried, time.Now())
				if n := len(tried); (n == 1) != (r.Header.Get("Retry-Attempt") == "") {
					t.Errorf("request %d says that it is attempt %q", n, r.Header.Get("Retry-Attempt"))
				}
				if len(tried) > failures {
					return 0, nil, "", nil
				}
				return status, http.Header{"Retry-After": {after}}, "no, since it is late", nil
			}
			mu.Unlock()
			w.commit(entry{ls: ls("__name__", "a"), t: millis(), v: v})
			time.Sleep(time.Minute)
			mu.Lock()
			defer mu.Unlock()
			return tried
		}
		pauses := func(tried []time.Time) (all []time.Duration) {
			for i := range tried[1:] {
				all = append(all, tried[i+1].Sub(tried[i]))
			}
			return all
		}
		if got := pauses(failing(1, 4, http.StatusServiceUnavailable, "")); fmt.Sprint(got) != "[1s 2s 4s 4s]" {
			t.Errorf("pauses are %v", got)
		}
		w.checkAll()
		if n := w.metric("prometheus_remote_storage_samples_retried_total"); n != 4 {
			t.Errorf("%v samples tried again", n)
		}
		if got := pauses(failing(2, 1, http.StatusServiceUnavailable, "7")); fmt.Sprint(got) != "[7s]" {
			t.Errorf("pauses are %v when 7s were asked for", got)
		}
		w.checkAll()
		if got := failing(3, 1, http.StatusBadRequest, ""); len(got) != 1 || w.metric("prometheus_remote_storage_samples_failed_total") != 1 {
			t.Errorf("a refused request was tried %d times", len(got))
		}
		if !strings.Contains(w.log.String(), "no, since it is late") {
			t.Errorf("log does not have the receiver's words:\n%s", w.log.String())
		}
	})
}

func TestRateLimit(t *testing.T) {
	for _, retried := range []bool{false, true} {
		var tried atomic.Int64
		bubble(t, fmt.Sprintf(`[{url: "http://x/write", queue_config: {retry_on_http_429: %v}}]`, retried), func(w *world) {
			w.to.answer = func(*http.Request) (int, http.Header, string, error) {
				if tried.Add(1) == 1 {
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
		w.to.down.Store(true)
		w.commit(entry{ls: ls("__name__", "old"), t: millis() - 2*60_000, v: 1}, entry{ls: ls("__name__", "waits"), t: millis(), v: 1},
			entry{ls: ls("__name__", "fresh"), t: millis() + 55_000, v: 1})
		time.Sleep(90 * time.Second)
		w.to.down.Store(false)
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
		w.to.down.Store(true)
		for range 100 {
			w.commit(entry{ls: ls("__name__", "a"), t: millis(), v: 1}, entry{ls: ls("__name__", "b"), t: millis(), v: 1})
			time.Sleep(15 * time.Second)
		}
		if n := w.metric("prometheus_remote_storage_samples_pending"); n > 10+neighbours+5 {
			t.Errorf("%v samples wait in memory", n)
		}
		w.to.down.Store(false)
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
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // replayable
			message := []Message{V1, V2}[seed%2]
			text := func() string {
				return fmt.Sprintf(`[{url: "http://x/write", send_native_histograms: true, protobuf_message: %s, queue_config: {capacity: %d, max_samples_per_send: %d, min_shards: %d, batch_send_deadline: %dms}}]`,
					message, 1+rng.IntN(500), 1+rng.IntN(100), 1+rng.IntN(5), rng.IntN(8000))
			}
			small := func(o *tsdb.Options, so *Options) { o.WALSegmentSize, so.FlushDeadline = 32<<10, 2*time.Hour }
			bubbleWith(t, text(), labels.EmptyLabels(), small, func(w *world) {
				var downUntil atomic.Int64
				chance := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // replayable
				var lock sync.Mutex
				w.to.answer = func(*http.Request) (int, http.Header, string, error) {
					lock.Lock()
					n, pause := chance.IntN(20), time.Duration(chance.IntN(2000))*time.Millisecond
					lock.Unlock()
					time.Sleep(pause)
					switch {
					case millis() < downUntil.Load():
						return 0, nil, "", errors.New("connection refused")
					case n == 0:
						return http.StatusInternalServerError, nil, "", nil
					case n == 1:
						return http.StatusServiceUnavailable, http.Header{"Retry-After": {"3"}}, "", nil
					}
					return 0, nil, "", nil
				}
				for round := range 1000 {
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
						downUntil.Store(millis() + int64(rng.IntN(1_200_000)))
					}
					time.Sleep(time.Duration(5+rng.IntN(30)) * time.Second)
				}
				downUntil.Store(0)
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
		w.to.down.Store(true)
		committed := 0
		for range 1600 {
			var batch []entry
			for i := range 20 {
				batch = append(batch, entry{ls: ls("__name__", "m", "i", fmt.Sprint(i)), t: millis(), v: float64(committed)})
				committed++
			}
			w.commit(batch...)
			time.Sleep(15 * time.Second)
		}
		w.to.down.Store(false)
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

// A queue whose receiver is away when it is replaced loses what it has in memory, and its successor goes on from there.
func TestHandover(t *testing.T) {
	change := func(db *tsdb.Options, o *Options) { o.FlushDeadline, db.OutOfOrderWindow = 20*time.Second, time.Hour }
	bubbleWith(t, plain, labels.EmptyLabels(), change, func(w *world) {
		w.commit(entry{ls: ls("__name__", "late"), t: millis(), v: 0})
		time.Sleep(time.Second)
		w.commit(entry{ls: ls("__name__", "late"), t: millis() - 600_000, v: 1})
		time.Sleep(10 * time.Second)
		w.apply(`[{url: "http://x/write", name: one, queue_config: {capacity: 5, max_samples_per_send: 5}}]`, labels.EmptyLabels())
		w.to.down.Store(true)
		for i := range 100 {
			w.commit(entry{ls: ls("__name__", "a"), t: millis(), v: float64(i)})
			time.Sleep(time.Second)
		}
		w.commit(entry{ls: ls("__name__", "late"), t: millis() - 900_000, v: 2})
		w.apply(plain, labels.EmptyLabels())
		time.Sleep(time.Minute)
		w.to.down.Store(false)
		time.Sleep(time.Minute)
		got, failed := w.to.all()[ls("__name__", "a").String()], int(w.metric("prometheus_remote_storage_samples_failed_total"))
		if len(got)+failed != 100 || failed > 20 {
			t.Errorf("%d samples received, %d failed", len(got), failed)
		}
		if !slices.Equal(got, w.committed[ls("__name__", "a").String()][failed:]) {
			t.Error("what was received is not the end of what was committed")
		}
		if got, want := w.to.all()[ls("__name__", "late").String()], w.committed[ls("__name__", "late").String()]; !slices.Equal(got, want) {
			t.Errorf("of what came out of order %v was received, want %v", got, want)
		}
	})
}

// With 1.0, the metadata of targets goes out by itself, each entry once.
func TestMetadata(t *testing.T) {
	family := func(name string) Family {
		return Family{Name: name, Metadata: sample.Metadata{Type: sample.TypeCounter, Help: "what it is", Unit: "seconds"}}
	}
	families := func(_ *tsdb.Options, o *Options) {
		o.Metadata = func() []Family { return []Family{family("a"), family("b"), family("a"), family("c")} }
	}
	bubbleWith(t, `[{url: "http://x/write", metadata_config: {send_interval: 1m, max_samples_per_send: 2}}]`, labels.EmptyLabels(), families, func(w *world) {
		time.Sleep(61 * time.Second)
		if n := w.to.count(); n != 2 {
			t.Errorf("%d requests", n)
		}
		w.to.mu.Lock()
		defer w.to.mu.Unlock()
		if got := strings.Join(w.to.metadata, "\n"); got != "a 1 \"what it is\" \"seconds\"\nb 1 \"what it is\" \"seconds\"\nc 1 \"what it is\" \"seconds\"" {
			t.Errorf("received\n%s", got)
		}
		if n := w.metric("prometheus_remote_storage_metadata_total"); n != 3 {
			t.Errorf("%v entries counted", n)
		}
	})
}

// A receiver of 2.0 says how much it took. One that says nothing knows 1.0 alone, and what it got counts as lost.
func TestWritten(t *testing.T) {
	bubble(t, `[{url: "http://x/write", protobuf_message: io.prometheus.write.v2.Request}]`, func(w *world) {
		w.to.answer = func(*http.Request) (int, http.Header, string, error) {
			return http.StatusNoContent, http.Header{"X-Prometheus-Remote-Write-Samples-Written": {"2"}}, "", nil
		}
		w.commit(entry{ls: ls("__name__", "a"), t: millis(), v: 1}, entry{ls: ls("__name__", "b"), t: millis(), v: 1}, entry{ls: ls("__name__", "c"), t: millis(), v: 1})
		time.Sleep(10 * time.Second)
		if n := w.metric("prometheus_remote_storage_samples_failed_total"); n != 1 {
			t.Errorf("%v of 3 samples failed, of which 2 were taken", n)
		}
	})
	bubble(t, `[{url: "http://x/write", protobuf_message: io.prometheus.write.v2.Request}]`, func(w *world) {
		w.to.answer = func(*http.Request) (int, http.Header, string, error) { return http.StatusOK, nil, "", nil }
		w.commit(entry{ls: ls("__name__", "a"), t: millis(), v: 1})
		time.Sleep(10 * time.Second)
		if n := w.metric("prometheus_remote_storage_samples_failed_total"); n != 1 || !strings.Contains(w.log.String(), "1.0 only") {
			t.Errorf("%v samples failed, log:\n%s", n, w.log.String())
		}
	})
}

// Exemplars go with their samples; receivers of 2.0 refuse them alone.
func TestExemplars(t *testing.T) {
	for _, message := range []Message{V1, V2} {
		for _, sent := range []bool{false, true} {
			bubble(t, fmt.Sprintf(`[{url: "http://x/write", protobuf_message: %s, send_exemplars: %v, queue_config: {max_samples_per_send: 2}}]`, message, sent), func(w *world) {
				at := millis()
				app := w.db.Appender()
				var batch []storage.Entry
				for i := range 5 {
					batch = append(batch, storage.Entry{
						Labels: ls("__name__", fmt.Sprint("m", i)), T: at, V: 1,
						Exemplars: []sample.Exemplar{{Labels: ls("trace_id", fmt.Sprint(i)), Value: 5, T: at, HasT: true}},
					})
				}
				if err := errors.Join(app.Append(t.Context(), batch, make([]storage.Outcome, 5)), app.Commit(t.Context())); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Second)
				for i := range 5 {
					want := []string{fmt.Sprintf("%d: 3ff0000000000000", at)}
					if sent {
						want = append(want, fmt.Sprintf("exemplar {trace_id=\"%d\"} %d: 4014000000000000", i, at))
					}
					if got := w.to.all()[ls("__name__", fmt.Sprint("m", i)).String()]; !slices.Equal(got, want) {
						t.Errorf("%s: received %q, want %q", message, got, want)
					}
				}
				if n := w.metric("prometheus_remote_storage_exemplars_total"); (n == 5) != sent {
					t.Errorf("%v exemplars counted", n)
				}
			})
		}
	}
}

// 1.0 cannot say what histograms with custom buckets are, and histograms are sent in it only when that is asked for.
func TestHistogramsOfOne(t *testing.T) {
	custom := &histogram.Histogram{Schema: histogram.CustomBucketsSchema, Count: 3, Sum: 1, PositiveSpans: []histogram.Span{{Length: 1}}, PositiveBuckets: []int64{3}, CustomValues: []float64{1}}
	for text, want := range map[string][2]int{
		`send_native_histograms: true`:  {1, 1},
		`send_native_histograms: false`: {0, 0},
		`send_native_histograms: false, protobuf_message: io.prometheus.write.v2.Request`: {2, 0},
	} {
		bubble(t, `[{url: "http://x/write", `+text+`}]`, func(w *world) {
			w.commit(entry{ls: ls("__name__", "a"), t: millis(), h: whole(4)}, entry{ls: ls("__name__", "b"), t: millis(), h: custom})
			time.Sleep(10 * time.Second)
			if n := len(w.to.all()); n != want[0] {
				t.Errorf("%s: %d series received", text, n)
			}
			if n := w.metric("prometheus_remote_storage_histograms_dropped_total", "reason="+noCustom1); int(n) != want[1] {
				t.Errorf("%s: %v histograms left out", text, n)
			}
		})
	}
}

// A slow receiver gets more connections, and fewer again when less is to be sent.
func TestReshards(t *testing.T) {
	bubble(t, `[{url: "http://x/write", queue_config: {max_samples_per_send: 10, max_shards: 20}}]`, func(w *world) {
		w.to.answer = func(*http.Request) (int, http.Header, string, error) {
			time.Sleep(500 * time.Millisecond)
			return 0, nil, "", nil
		}
		batch := func(n int) {
			var all []entry
			for i := range n {
				all = append(all, entry{ls: ls("__name__", "m", "i", fmt.Sprint(i)), t: millis(), v: 1})
			}
			w.commit(all...)
			time.Sleep(time.Second)
		}
		for range 120 {
			batch(100)
		}
		if n := w.metric("prometheus_remote_storage_shards"); n < 5 {
			t.Errorf("%v shards, with requests of 0.5s and ten needed in a second", n)
		}
		for range 600 {
			batch(10)
		}
		if n := w.metric("prometheus_remote_storage_shards"); n > 2 {
			t.Errorf("%v shards, with one request in a second", n)
		}
		time.Sleep(time.Minute)
		w.checkAll()
	})
}

func TestMetricsAreForgotten(t *testing.T) {
	bubble(t, plain, func(w *world) {
		w.commit(entry{ls: ls("__name__", "a"), t: millis(), v: 1})
		time.Sleep(10 * time.Second)
		w.apply(`[]`, labels.EmptyLabels())
		time.Sleep(10 * time.Second)
		families, err := w.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if len(f.GetMetric()[0].GetLabel()) > 0 {
				t.Errorf("%s is left when the queue has ended", f.GetName())
			}
		}
	})
}

// A queue whose password alone changes goes on, with another client.
func TestSecretChanges(t *testing.T) {
	secret := func(password string) string {
		return `[{url: "http://x/write", basic_auth: {username: a, password: ` + password + `}}]`
	}
	bubble(t, secret("one"), func(w *world) {
		queue := w.m.queues[0]
		before := queue.client.Load()
		w.apply(secret("one"), labels.EmptyLabels())
		if w.m.queues[0] != queue || queue.client.Load() != before {
			t.Error("an unchanged queue did not stay as it was")
		}
		w.apply(secret("two"), labels.EmptyLabels())
		after := queue.client.Load()
		if w.m.queues[0] != queue || after == before {
			t.Error("the queue did not stay, or has the old password")
		}
		w.apply(secret("two"), labels.EmptyLabels())
		if queue.client.Load() != after {
			t.Error("the client was replaced although nothing has changed")
		}
	})
}
