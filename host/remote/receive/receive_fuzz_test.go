package receive

import (
	"net/http"
	"testing"
)

// FuzzRequest sends messages of both versions, twice each: whatever they are, the answer is one of the three, nothing is
// stored of those of 1.0 that are refused, and what is said twice is answered in the same way.
func FuzzRequest(f *testing.F) {
	f.Add(v1(series(named("a", "x", "1"), 1, 2), series(named("b"), 1)), false)
	f.Add(append(v1(series([]string{"b", "c"}, 1)), 0x80), false)
	f.Add([]byte("\"\x00\"\x08__name__\"\x01a*\x12\x0a\x02\x01\x02\x12\x0c\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\x01"), true)
	f.Add([]byte("\x0a\x1f\x0a\x0d\x0a\x08__name__\x12\x01a\x22\x0e\x08\x01\x20\x02\x5a\x04\x08\x01\x10\x01\x62\x01\x02\x78\x05"), false)
	f.Fuzz(func(t *testing.T, message []byte, second bool) {
		store := newStore()
		h := newHandler(t, store, func(o *Options) { o.StartZeros, o.TypeAndUnit, o.Metadata = true, true, true })
		contentType := mediaType
		if second {
			contentType += ";proto=" + string(V2)
		}
		first := post(h, contentType, message)
		before := stored(t, store)
		switch first.Code {
		case http.StatusNoContent:
			if first.Body.Len() > 0 {
				t.Errorf("an answer without content says %q", first.Body)
			}
		case http.StatusBadRequest:
			if !second && before != "" {
				t.Errorf("stored of a request that is refused with %q:\n%s", first.Body, before)
			}
		default:
			t.Fatalf("status %d: %s", first.Code, first.Body)
		}
		again := post(h, contentType, message)
		if first.Code == http.StatusNoContent && !second && stored(t, store) != before && again.Code == http.StatusNoContent {
			t.Errorf("sent again, %q becomes %q", before, stored(t, store))
		}
	})
}
