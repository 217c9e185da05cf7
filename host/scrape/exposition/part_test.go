package exposition

import (
	"strings"
	"testing"
)

// TestParts: a body that is read line by line means the same as one that is read at once.
func TestParts(t *testing.T) {
	body := "# TYPE h histogram\n# UNIT h_s s\nh_bucket{le=\"1\"} 1 1\n# TYPE g gauge\ng{le=\"1\"} 2 # {a=\"b\"} 1\n# EOF\n"
	scan := func(parts ...string) string {
		var out strings.Builder
		var s Scanner
		s.Reset(nil, Options{Format: OpenMetrics, Part: true})
		for _, part := range parts {
			s.Continue([]byte(part))
			for {
				kind, err := s.Next(ID{})
				if err != nil {
					return out.String() + err.Error()
				}
				if kind == End {
					break
				}
				if kind == Series {
					pairs, err := s.Labels(nil)
					if err != nil {
						return err.Error()
					}
					out.WriteString(string(s.MetricType()))
					for _, l := range pairs {
						out.WriteString(" " + l.Name + "=" + l.Value)
					}
					out.WriteString("\n")
				}
			}
		}
		if s.Complete() {
			out.WriteString("complete")
		}
		return out.String()
	}
	want := "histogram __name__=h_bucket le=1.0\ngauge __name__=g le=1\n"
	if got := scan(body); got != want+"complete" {
		t.Error(got)
	}
	lines := strings.SplitAfter(body, "\n")
	lines = lines[:len(lines)-1]
	if got := scan(lines...); got != want+"complete" {
		t.Error(got)
	}
	if got := scan(lines[:len(lines)-1]...); got != want {
		t.Error(got)
	}
	if got := scan(lines[0], "x"); got != `line 1: expected a blank and a value: "x"` {
		t.Error(got)
	}
}
