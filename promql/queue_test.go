package promql

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestPlacesGoRound has queries wait in a given order, and looks at the order in which they get their place.
func TestPlacesGoRound(t *testing.T) {
	check := func(coming, served string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(1)
			first, err := q.enter(t.Context(), &Origin{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for name := range strings.FieldsSeq(coming) {
				o := &Origin{Request: &RequestOrigin{ClientIP: name[:1]}}
				if strings.HasPrefix(name, "r") {
					o = &Origin{Rule: &RuleOrigin{Name: name[:2]}}
				}
				go func() {
					place, err := q.enter(t.Context(), o)
					if err != nil {
						t.Error(err)
					}
					got = append(got, name)
					q.leave(place)
				}()
				synctest.Wait()
			}
			q.leave(first)
			synctest.Wait()
			if strings.Join(got, " ") != served {
				t.Errorf("%s: served %s, want %s", coming, strings.Join(got, " "), served)
			}
		})
	}
	check("a1 a2 a3", "a1 a2 a3")
	check("a1 a2 a3 b1 c1", "a1 b1 c1 a2 a3")
	check("a1 a2 a3 rA1", "rA1 a1 a2 a3")
	check("a1 a2 b1 rA1 rA2 rB1", "rA1 a1 rB1 b1 rA2 a2")
	check("rA1 rA2 rA3 a1", "rA1 a1 rA2 rA3")
}

func TestPlacesAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(3)
		var places []int
		for range 3 {
			place, err := q.enter(t.Context(), &Origin{})
			if err != nil {
				t.Fatal(err)
			}
			places = append(places, place)
		}
		if !slices.Equal(places, []int{0, 1, 2}) {
			t.Error(places)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := q.enter(ctx, &Origin{}); err == nil {
			t.Error("a fourth place")
		}
		q.leave(1)
		if place, err := q.enter(t.Context(), &Origin{}); place != 1 || err != nil {
			t.Error(place, err)
		}
	})
}

// TestPlaceOfOneWhoGaveUpIsNotLost has queries give up in the moment in which they get a place.
func TestPlaceOfOneWhoGaveUpIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		for range 100 {
			place, err := q.enter(t.Context(), &Origin{})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			for range 3 {
				go func() {
					if place, err := q.enter(ctx, &Origin{}); err == nil {
						q.leave(place)
					}
				}()
			}
			synctest.Wait()
			go cancel()
			q.leave(place)
			synctest.Wait()
		}
		if len(q.free) != 1 || len(q.others.order) != 0 || len(q.others.waiting) != 0 {
			t.Errorf("%+v", q)
		}
	})
}
