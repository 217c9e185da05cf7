package labels

import (
	"encoding/json"
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
