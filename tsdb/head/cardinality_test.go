package head

import (
	"fmt"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
)

func TestCardinality(t *testing.T) {
	h := openHead(t, t.TempDir())
	var entries []storage.Entry
	for i := range 100 {
		entries = append(entries, storage.Entry{
			Labels: labels.FromStrings("__name__", fmt.Sprintf("m%d", min(i/10, 5)), "i", fmt.Sprint(i)), T: 1, V: 1,
		})
	}
	appendAll(t, h, entries...)
	for limit, want := range map[int]string{
		2:    "{106 [{m5 50} {m0 10}] [{__name__=m5 50} {__name__=m0 10}] [{i 100} {__name__ 6}] [{__name__ 200} {i 190}]}",
		1000: "",
	} {
		got := h.Cardinality(limit)
		if text := fmt.Sprint(got); want != "" && text != want {
			t.Errorf("got\n%s, want\n%s", text, want)
		}
		if limit == 1000 && (len(got.SeriesByPair) != 106 || len(got.SeriesByMetric) != 6 || len(got.ValuesByLabel) != 2) {
			t.Errorf("%v", got)
		}
	}
}
