package labels

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestLabelsAreASortedSet(t *testing.T) {
	ls := FromStrings("job", "node", "__name__", "up", "empty", "", "job", "api")
	if got, want := ls.String(), `{__name__="up", job="api"}`; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	if ls.Len() != 2 || ls.Get("job") != "api" || ls.Get("zzz") != "" || ls.Has("empty") {
		t.Fatalf("look-up in %s is wrong", ls)
	}
	if !Equal(ls, FromMap(ls.Map())) {
		t.Fatal("a set and its copy differ")
	}
}

func TestLongStringsRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 254, 255, 256, 70_000} {
		value := "x" + strings.Repeat("v", n)
		ls := FromStrings("a", value, "b", "after")
		if ls.Get("a") != value || ls.Get("b") != "after" || ls.Len() != 2 {
			t.Fatalf("a value of %d bytes is not read back", len(value))
		}
	}
}

func TestCompareOrdersPairByPair(t *testing.T) {
	check := func(a, b Labels, want int) {
		t.Helper()
		sign := func(n int) int { return min(1, max(-1, n)) }
		if got := sign(Compare(a, b)); got != want {
			t.Errorf("Compare(%s, %s) = %d, want %d", a, b, got, want)
		}
		if got := sign(Compare(b, a)); got != -want {
			t.Errorf("Compare(%s, %s) = %d, want %d", b, a, got, -want)
		}
	}
	check(FromStrings("a", "1"), FromStrings("a", "1"), 0)
	check(FromStrings("a", "1"), FromStrings("a", "2"), -1)
	check(FromStrings("a", "1"), FromStrings("b", "0"), -1)
	check(FromStrings("a", "1"), FromStrings("a", "1", "b", "1"), -1)
	check(EmptyLabels(), FromStrings("a", "1"), -1)
	check(FromStrings("a", "10"), FromStrings("a", "9"), -1)
	check(FromStrings("a", strings.Repeat("b", 300)), FromStrings("a", "c"), -1)
}

func TestKeysIdentifySubsets(t *testing.T) {
	ls := FromStrings("__name__", "m", "a", "1", "b", "2", "c", "3")
	check := func(got []byte, want Labels) {
		t.Helper()
		if string(got) != string(want.AppendKey(nil)) {
			t.Errorf("the key is not that of %s", want)
		}
	}
	check(ls.AppendKeyBy(nil, []string{"a", "c", "zz"}), FromStrings("a", "1", "c", "3"))
	check(ls.AppendKeyBy(nil, []string{"__name__"}), FromStrings("__name__", "m"))
	check(ls.AppendKeyWithout(nil, []string{"b"}), FromStrings("a", "1", "c", "3"))
	check(ls.AppendKeyWithout(nil, nil), FromStrings("a", "1", "b", "2", "c", "3"))
}

func TestBuilder(t *testing.T) {
	b := NewBuilder(FromStrings("a", "1", "b", "2"))
	check := func(want Labels) {
		t.Helper()
		if got := b.Labels(); !Equal(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	check(FromStrings("a", "1", "b", "2"))
	b.Set("c", "3").Del("a")
	check(FromStrings("b", "2", "c", "3"))
	b.Set("a", "9").Set("b", "")
	check(FromStrings("a", "9", "c", "3"))
	if b.Get("b") != "" || b.Get("a") != "9" {
		t.Error("Get does not follow the changes")
	}
	b.Keep("c")
	check(FromStrings("c", "3"))
	b.Reset(FromStrings("x", "y"))
	check(FromStrings("x", "y"))
}

// TestBuilderIsAMap: whatever is done to a builder, its set is that of a map to which the same is done.
func TestBuilderIsAMap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	name := func() string { return string(rune('a' + rnd.IntN(8))) }
	b := NewBuilder(EmptyLabels())
	for range 500 {
		m := map[string]string{}
		for range rnd.IntN(6) {
			m[name()] = strings.Repeat("v", 1+rnd.IntN(300))
		}
		base := FromMap(m)
		b.Reset(base)
		for range rnd.IntN(8) {
			n := name()
			switch rnd.IntN(4) {
			case 0:
				b.Del(n)
				delete(m, n)
			case 1:
				b.Range(func(name, value string) {
					if m[name] != value {
						t.Fatalf("Range gives %s=%q, want %q", name, value, m[name])
					}
					if name == n {
						b.Del(n).Set("z", "")
					}
				})
				delete(m, n)
			default:
				m[n] = string(rune('0' + rnd.IntN(3)))
				b.Set(n, m[n])
			}
			if b.Get(n) != m[n] {
				t.Fatalf("Get(%s) = %q, want %q", n, b.Get(n), m[n])
			}
		}
		got := b.Labels()
		if !Equal(got, FromMap(m)) || !maps.Equal(got.Map(), m) {
			t.Fatalf("from %s: got %s, want %v", base, got, m)
		}
	}
}

func TestUnchangedSetsAreNotCopied(t *testing.T) {
	ls := FromStrings("__name__", "up", "instance", "a:80", "job", "node")
	b := NewBuilder(ls)
	names := []string{"__name__", "instance", "job", "zone"}
	for what, f := range map[string]func() Labels{
		"Builder.Set":    func() Labels { b.Reset(ls); return b.Set("job", "node").Labels() },
		"Builder.Del":    func() Labels { b.Reset(ls); return b.Del("zone").Labels() },
		"Builder.Range":  func() Labels { NewBuilder(ls).Range(func(string, string) {}); return ls },
		"KeepSorted":     func() Labels { return ls.KeepSorted(names) },
		"DropMetricName": func() Labels { return ls.DropMetricName() },
	} {
		want := ls
		if what == "DropMetricName" {
			want = FromStrings("instance", "a:80", "job", "node")
		}
		if got := f(); !Equal(got, want) {
			t.Errorf("%s: got %s, want %s", what, got, want)
		}
		if n := testing.AllocsPerRun(10, func() { f() }); n != 0 {
			t.Errorf("%s allocates %v times", what, n)
		}
	}
	if got, want := ls.DropSorted([]string{"job"}), FromStrings("instance", "a:80"); !Equal(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := ls.KeepSorted(nil); !Equal(got, EmptyLabels()) {
		t.Errorf("got %s of nothing", got)
	}
}

func TestScratchBuilderFindsDuplicates(t *testing.T) {
	var b ScratchBuilder
	b.Add("b", "1")
	b.Add("a", "2")
	b.Add("b", "3")
	b.Sort()
	if name, ok := b.Duplicate(); !ok || name != "b" {
		t.Fatalf("got %q, %v", name, ok)
	}
}

func TestJSON(t *testing.T) {
	b, err := json.Marshal(FromStrings("b", "2", "a", `x"y`))
	if err != nil || string(b) != `{"a":"x\"y","b":"2"}` {
		t.Fatalf("got %s, %v", b, err)
	}
	var ls Labels
	if err := json.Unmarshal(b, &ls); err != nil || ls.Get("a") != `x"y` {
		t.Fatalf("got %s, %v", ls, err)
	}
}
