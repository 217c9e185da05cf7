package lint

import (
	"fmt"
	"strings"
	"testing"
)

func TestProblems(t *testing.T) {
	check := func(body, want string) {
		t.Helper()
		found, err := Problems([]byte(body))
		got := strings.Trim(fmt.Sprint(found), "[]")
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	check("", "")
	check("# HELP a A.\n# TYPE a gauge\na 1\n", "")
	check("# TYPE a gauge\na 1\n", "{a no help text}")
	check("a 1 2 3\n", `text format parsing error in line 1: spurious string after timestamp: " 3"`)
}

func TestCount(t *testing.T) {
	check := func(body, want string) {
		t.Helper()
		counts, total, err := Count([]byte(body))
		got := fmt.Sprint(counts, total)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	check("", "[] 0")
	check("b 1\na{x=\"1\"} 1\na{x=\"2\"} 1\nc 1\n", "[{a 2} {b 1} {c 1}] 4")
	check("a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 1\n", "[{a 1}] 1")
	check("# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\nh_other 1\n", "[{h 4} {h_other 1}] 5")
	check("# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 1\ns_count 1\n", "[{s 3}] 3")
	check("a{ 1\n", `line 1: labels without a closing brace: "a{ 1"`)
}
