package send

import (
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb"
)

// A queue that comes later sees what comes in from then on: what came in before needs no shards.
func TestLateQueueNeedsFewShards(t *testing.T) {
	bubble(t, `[]`, func(w *world) {
		w.to.answer = func(*http.Request) (int, http.Header, string, error) {
			time.Sleep(100 * time.Millisecond)
			return 0, nil, "", nil
		}
		w.m.Committed(Commit{Floats: 1e9, MaxTime: millis()})
		w.apply(plain, labels.EmptyLabels())
		for range 30 {
			w.commit(entry{ls: ls("__name__", "a"), t: millis(), v: 1})
			time.Sleep(time.Second)
		}
		if n := w.metric("prometheus_remote_storage_shards"); n != 1 {
			t.Errorf("%v shards", n)
		}
		if n := w.metric("prometheus_remote_storage_shards_desired"); n > 5 {
			t.Errorf("%v shards desired", n)
		}
		time.Sleep(10 * time.Second)
		w.checkAll()
	})
}

// A queue waits for the one whose place it takes, also if the password has changed before.
func TestSuccessionBehindAChangedPassword(t *testing.T) {
	bubble(t, `[{url: "http://u:first@x/write", name: one}]`, func(w *world) {
		w.to.down.Store(true)
		w.commit(entry{ls: ls("__name__", "a"), t: millis(), v: 1})
		time.Sleep(20 * time.Second)
		w.apply(`[{url: "http://u:second@x/write", name: one}]`, labels.EmptyLabels())
		w.apply(`[{url: "http://u:second@x/write", name: one, queue_config: {batch_send_deadline: 1ms}}]`, labels.EmptyLabels())
		w.commit(entry{ls: ls("__name__", "a"), t: millis(), v: 2})
		w.to.down.Store(false)
		time.Sleep(time.Minute)
		w.checkAll()
	})
}

// Of several queues for one receiver, a queue waits for the one with its name.
func TestSuccessionByName(t *testing.T) {
	const b = `{url: "http://x/write", name: b, headers: {X-Name: b}, write_relabel_configs: [{target_label: from, replacement: b}]`
	bubble(t, `[]`, func(w *world) {
		var refusing atomic.Bool
		refusing.Store(true)
		w.to.answer = func(r *http.Request) (int, http.Header, string, error) {
			if refusing.Load() && r.Header.Get("X-Name") == "b" {
				return http.StatusServiceUnavailable, nil, "", nil
			}
			return 0, nil, "", nil
		}
		w.apply(`[{url: "http://x/write", name: a}, `+b+`}]`, labels.EmptyLabels())
		w.commit(entry{ls: ls("__name__", "a"), t: millis(), v: 1})
		time.Sleep(20 * time.Second)
		w.apply(`[`+b+`, queue_config: {batch_send_deadline: 1ms}}]`, labels.EmptyLabels())
		w.commit(entry{ls: ls("__name__", "a"), t: millis(), v: 2})
		refusing.Store(false)
		time.Sleep(time.Minute)
		if got, want := w.to.all()[`{__name__="a", from="b"}`], w.committed[`{__name__="a"}`]; !slices.Equal(got, want) {
			t.Errorf("received %v, committed %v", got, want)
		}
	})
}

// Metadata that nobody takes does not hold up the end.
func TestMetadataDoesNotHoldUpTheEnd(t *testing.T) {
	families := func(_ *tsdb.Options, o *Options) {
		o.Metadata = func() []Family { return []Family{{Name: "a", Metadata: sample.Metadata{Type: sample.TypeGauge}}} }
	}
	bubbleWith(t, plain, labels.EmptyLabels(), families, func(w *world) {
		w.to.down.Store(true)
		time.Sleep(90 * time.Second)
		begin := time.Now()
		w.stop()
		if took := time.Since(begin); took > time.Second {
			t.Errorf("the end took %s", took)
		}
		if n := w.metric("prometheus_remote_storage_metadata_failed_total"); n != 0 {
			t.Errorf("%v families counted as failed", n)
		}
	})
}

// Batches of histograms alone are not held until floats come.
func TestHistogramsAreNotHeldForEver(t *testing.T) {
	bubble(t, `[]`, func(w *world) {
		const batches, size = 40, 1000
		start := w.db.Log().End()
		var all []storage.Entry
		for i := range size {
			all = append(all, storage.Entry{Labels: ls("__name__", "h", "i", strconv.Itoa(i)), Histogram: whole(5)})
		}
		for range batches {
			app := w.db.Appender()
			for i := range all {
				all[i].T = millis()
			}
			outcomes := make([]storage.Outcome, size)
			if err := app.Append(w.t.Context(), all, outcomes); err != nil {
				t.Fatal(err)
			}
			for i, o := range outcomes {
				all[i].Ref = o.Ref
			}
			if err := app.Commit(w.t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		cfg := configs(t, `[{url: "http://x/write", send_exemplars: true, send_native_histograms: true, queue_config: {capacity: 100000}}]`)[0]
		q := w.m.newQueue(cfg, "0123456789", labels.EmptyLabels())
		q.client.Store(newClient(cfg, &http.Client{Transport: w.to}))
		q.metrics = w.m.metrics.acquire("q", "u", &cfg.QueueConfig)
		f := newFollower(q, w.db, &start, nil)
		f.think = time.NewTicker(reshardInterval)
		defer f.think.Stop()
		f.startShards(w.t.Context(), 1)
		most := 0
		for f.tail.Next() {
			if !f.apply(w.t.Context(), f.tail) {
				t.Fatal("the queue ends")
			}
			most = max(most, len(f.held))
		}
		if !f.release(w.t.Context()) {
			t.Fatal("the queue ends")
		}
		f.stopShards()
		if most > maxHeld+size {
			t.Errorf("%d samples are held", most)
		}
		if n := w.metric("prometheus_remote_storage_histograms_total"); n != batches*size {
			t.Errorf("%v histograms sent", n)
		}
		if err := f.tail.Close(); err != nil {
			t.Error(err)
		}
	})
}
