package compact

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/tsdb/block"
)

// planCase is one case of testdata/plan.txt.
type planCase struct {
	title, plan string
	rules       Rules
	metas       []block.Meta
	// names are the blocks as they are written, by the block's number, which its first source carries.
	names []string
}

func TestPlan(t *testing.T) {
	text, err := os.ReadFile("testdata/plan.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, cases, _ := strings.Cut(string(text), "\n\n")
	n := 0
	for c := range strings.SplitSeq(strings.TrimSpace(cases), "\n\n") {
		p := parseCase(t, c)
		n++
		t.Run(p.title, func(t *testing.T) {
			planned := make([]string, 0, 4)
			for _, m := range p.rules.Plan(p.metas) {
				planned = append(planned, p.names[m.ULID[15]])
			}
			got := strings.Join(planned, " ")
			if got == "" {
				got = "nothing"
			}
			if got != p.plan {
				t.Errorf("got %s, want %s", got, p.plan)
			}
		})
	}
	if n < 25 {
		t.Errorf("only %d cases were read", n)
	}
}

func parseCase(t *testing.T, text string) planCase {
	t.Helper()
	var p planCase
	skipped := map[byte]bool{}
	p.rules.Skip = func(m block.Meta) bool { return skipped[m.ULID[15]] }
	for line := range strings.Lines(text) {
		key, value, isField := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		switch {
		case !isField:
			p.title = key
		case key == "ranges":
			for f := range strings.FieldsSeq(value) {
				p.rules.Ranges = append(p.rules.Ranges, number(t, f))
			}
		case key == "overlaps":
			p.rules.KeepOverlaps = value == "keep"
		case key == "blocks":
			for f := range strings.FieldsSeq(value) {
				m, skip := parseMeta(t, f)
				m.ULID[15] = byte(len(p.names))
				skipped[m.ULID[15]] = skip
				p.names, p.metas = append(p.names, f), append(p.metas, m)
			}
		case key == "plan":
			p.plan = value
		default:
			t.Fatalf("%q is not known", line)
		}
	}
	return p
}

func parseMeta(t *testing.T, text string) (m block.Meta, skip bool) {
	t.Helper()
	parts := regexp.MustCompile(`^(-?\d+)-(-?\d+)(late|failed|skip)?(?:/(\d+)s(\d+)t)?$`).FindStringSubmatch(text)
	if parts == nil {
		t.Fatalf("block %q can't be read", text)
	}
	m.MinTime, m.MaxTime = number(t, parts[1]), number(t, parts[2])
	m.Stats.NumSeries = 1000
	if parts[4] != "" {
		m.Stats.NumSeries, m.Stats.NumTombstones = uint64(number(t, parts[4])), uint64(number(t, parts[5]))
	}
	m.Compaction.Failed = parts[3] == "failed"
	if parts[3] == "late" {
		m.Compaction.Hints = []string{block.HintOutOfOrder}
	}
	return m, parts[3] == "skip"
}

func number(t *testing.T, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestPlansComeToAnEnd carries plans out on descriptions alone, as blocks are cut one after the other.
func TestPlansComeToAnEnd(t *testing.T) {
	rules := Rules{Ranges: Ranges(10, 270)}
	var metas []block.Meta
	for i := range int64(200) {
		metas = append(metas, block.Meta{MinTime: i * 10, MaxTime: i*10 + 10})
		for round := 0; ; round++ {
			group := rules.Plan(metas)
			if group == nil {
				break
			}
			if round > 10 {
				t.Fatalf("after block %d there is always something to merge: %v", i, group)
			}
			merged := describe(group)
			metas = slices.DeleteFunc(metas, func(m block.Meta) bool { return m.MinTime >= merged.MinTime && m.MaxTime <= merged.MaxTime })
			metas = append(metas, merged)
		}
	}
	widths := map[int64]int{}
	for _, m := range metas {
		widths[m.MaxTime-m.MinTime]++
	}
	if widths[270] != 7 || len(metas) > 7+3+3+3 {
		t.Errorf("2,000 units of time are in %d blocks: %v", len(metas), widths)
	}
}

func TestRanges(t *testing.T) {
	const hour = 3_600_000
	for _, c := range []struct {
		smallest, largest int64
		want              string
	}{
		{2 * hour, 36 * hour, "[2 6 18]"}, // A tenth of fifteen days.
		{2 * hour, 31 * 24 * hour, "[2 6 18 54 162 486]"},
		{2 * hour, 2 * hour, "[2]"},
		{2 * hour, hour, "[2]"},
	} {
		got := Ranges(c.smallest, c.largest)
		for i := range got {
			got[i] /= hour
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("from %d to %d: got %v, want %v", c.smallest, c.largest, got, c.want)
		}
	}
	if got := Ranges(1<<60, 1<<62); len(got) != 2 {
		t.Errorf("near the largest number: %v", got)
	}
	if got := Ranges(1, 1<<62); len(got) != 10 {
		t.Errorf("got %d ranges", len(got))
	}
}
