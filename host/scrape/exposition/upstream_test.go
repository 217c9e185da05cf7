package exposition

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
)

// found is a piece of content in the form of testdata/upstream.jsonl.
type found struct {
	Kind       string
	Name, Text string
	Labels     [][2]string
	Value      string
	T          *int64
	Exemplar   *foundExemplar
}

type foundExemplar struct {
	L [][2]string
	V string
	T *int64
}

// differences are bodies on which we differ from upstream on purpose, with the reason.
var differences = map[string]string{
	"\ta 1\n":                            "leading blanks are no part of a name",
	" a 1\n":                             "leading blanks are no part of a name",
	"\x00":                               "a zero byte does not end a body silently",
	"{\"\"} 1\n":                         "an empty name fails here, not when it is stored",
	"{\"\"} 1\n# EOF\n":                  "an empty name fails here, not when it is stored",
	"{\"a\",\"\"=\"1\"} 1\n":             "an empty name fails here, not when it is stored",
	"{\"a\",\"\"=\"1\"} 1\n# EOF\n":      "an empty name fails here, not when it is stored",
	"a{\"\"=\"1\"} 1\n":                  "an empty name fails here, not when it is stored",
	"a{\"\"=\"1\"} 1\n# EOF\n":           "an empty name fails here, not when it is stored",
	`a 1 # {x="\n\\\""} 1` + "\n# EOF\n": "escapes in the labels of exemplars are resolved, as the format says",
	"a 1 # {x=\"1\",x=\"2\"} 1\n# EOF\n": "an exemplar with a label twice is left out",
	"a 1 # {x=\"\"} 1\n# EOF\n":          "empty labels of exemplars are left out",
}

// TestUpstream goes through bodies whose reading by Prometheus 3.14 was recorded.
func TestUpstream(t *testing.T) {
	file, err := os.Open("testdata/upstream.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	cases := 0
	for lines.Scan() {
		var c struct {
			Format, Body string
			Fails        bool
			Found        []found
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		cases++
		format := Text
		if c.Format == "om" {
			format = OpenMetrics
		}
		got, err := readAll([]byte(c.Body), format)
		same := (err != nil) == c.Fails && (c.Fails || reflect.DeepEqual(got, c.Found)) // What fails is not stored.
		if reason, ok := differences[c.Body]; ok {
			if same {
				t.Errorf("%q: listed as a difference (%s), but there is none", c.Body, reason)
			}
			continue
		}
		if !same {
			want, _ := json.Marshal(c.Found)
			have, _ := json.Marshal(got)
			t.Errorf("%s %q:\n got %s, error %v\nwant %s, error %v", c.Format, c.Body, have, err, want, c.Fails)
		}
	}
	if cases < 400 {
		t.Fatalf("only %d cases", cases)
	}
}

// readAll reads a body as far as it is good.
func readAll(body []byte, format Format) (out []found, err error) {
	var s Scanner
	s.Reset(body, Options{Format: format})
	for {
		kind, err := s.Next(ID{})
		if err != nil {
			return out, err
		}
		switch kind {
		case End:
			return out, nil
		case Series:
			f, err := readSeries(&s)
			if err != nil {
				return out, err
			}
			out = append(out, f)
		case Help:
			name, text := s.Meta()
			out = append(out, found{Kind: "help", Name: string(name), Text: s.HelpText(text)})
		case Type:
			name, _ := s.Meta()
			out = append(out, found{Kind: "type", Name: string(name), Text: string(s.MetricType())})
		case Unit:
			name, text := s.Meta()
			out = append(out, found{Kind: "unit", Name: string(name), Text: string(text)})
		}
	}
}

func readSeries(s *Scanner) (found, error) {
	ls, err := s.Labels(nil)
	if err != nil {
		return found{}, err
	}
	f := found{Kind: "series", Labels: sortedPairs(ls), Value: fmt.Sprint(s.Value())}
	if ts, ok := s.Timestamp(); ok {
		f.T = &ts
	}
	exemplars, err := s.Exemplars(nil)
	if err != nil {
		return found{}, err
	}
	for _, e := range exemplars {
		f.Exemplar = &foundExemplar{L: [][2]string{}, V: fmt.Sprint(e.Value)}
		for name, value := range e.Labels.All() {
			f.Exemplar.L = append(f.Exemplar.L, [2]string{name, value})
		}
		if e.HasT {
			f.Exemplar.T = &e.T
		}
	}
	return f, nil
}

func sortedPairs(ls []labels.Label) [][2]string {
	out := make([][2]string, 0, len(ls))
	for _, l := range ls {
		out = append(out, [2]string{strings.Clone(l.Name), strings.Clone(l.Value)})
	}
	slices.SortStableFunc(out, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	return out
}

func TestInvalidUTF8(t *testing.T) {
	fails := func(body string) {
		t.Helper()
		for _, format := range []Format{Text, OpenMetrics} {
			if got, err := readAll([]byte(body+"# EOF\n"), format); err == nil {
				t.Errorf("%q: got %v, want an error", body, got)
			}
		}
	}
	fails("a{x=\"\xff\"} 1\n")
	fails("a\xff 1\n")
	fails("{\"\xff\"} 1\n")
	fails("a{\"\xff\"=\"1\"} 1\n")
	fails("# HELP a \xff\n")
}

func TestErrorNamesLineAndText(t *testing.T) {
	_, err := readAll([]byte("a 1\nb 2\nc{x=\"1\" 3\n"), Text)
	const want = `line 3: labels without a closing brace: "c{x=\"1\" 3"`
	if err == nil || err.Error() != want {
		t.Fatalf("got %v, want %s", err, want)
	}
}

// TestExpect checks that a guess, right or wrong, never changes what is read.
func TestExpect(t *testing.T) {
	body := []byte("a 1\nab 2\na{x=\"1\"} 3\na {x=\"1\"} 4\na{x=\"1\"}5\na\t6\n")
	plain, err := readAll(body, Text)
	if err != nil {
		t.Fatal(err)
	}
	seed := maphash.MakeSeed()
	for _, expect := range []string{"a", "ab", `a{x="1"}`, `a {x="1"}`, "b"} {
		var s Scanner
		s.Reset(body, Options{Format: Text, Seed: seed})
		for i, want := range plain {
			if _, err := s.Next(ID{maphash.String(seed, expect), len(expect)}); err != nil {
				t.Fatalf("expect %q: sample %d: %v", expect, i, err)
			}
			if s.Expected() != (string(s.Series()) == expect) {
				t.Errorf("expect %q: sample %d is %q, expected: %v", expect, i, s.Series(), s.Expected())
			}
			if got, err := readSeries(&s); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("expect %q: sample %d: got %v, %v, want %v", expect, i, got, err, want)
			}
		}
	}
}

func TestFloatsAreExact(t *testing.T) {
	same := func(text string) {
		t.Helper()
		short, ok := parseShortFloat([]byte(text))
		if !ok {
			return
		}
		var want float64
		if _, err := fmt.Sscan(text, &want); err != nil || math.Float64bits(short) != math.Float64bits(want) {
			t.Errorf("%s: got %v, want %v, %v", text, short, want, err)
		}
	}
	for _, text := range []string{
		"0", "-0", "1", "-1", "+1", "0.1", "123456789012345", "1234567.12345678", "9.87654321e+09", "1e22", "1e-22",
		"0.000001", "1.5e3", "999999999999999e22", "5.", ".5",
	} {
		same(text)
	}
}

func FuzzScan(f *testing.F) {
	data, err := os.ReadFile("testdata/upstream.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		var c struct{ Format, Body string }
		if err := json.Unmarshal(line, &c); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(c.Body), c.Format == "om")
	}
	f.Fuzz(func(t *testing.T, body []byte, om bool) {
		format := Text
		if om {
			format = OpenMetrics
		}
		before := bytes.Clone(body)
		plain, plainErr := readAll(body, format)
		if !bytes.Equal(body, before) {
			t.Fatal("the body was changed")
		}
		// What was found must be found again through its raw bytes, and with each series as the guess for the next.
		var s Scanner
		s.Reset(body, Options{Format: format, Seed: maphash.MakeSeed()})
		var expect ID
		latest := ""
		for _, want := range plain {
			if want.Kind != "series" {
				continue
			}
			for kind := End; kind != Series; {
				var err error
				if kind, err = s.Next(expect); err != nil {
					t.Fatalf("second reading: %v, first ended with %v", err, plainErr)
				}
				if kind == End {
					t.Fatalf("second reading ends before %v", want)
				}
			}
			if s.Expected() && string(s.Series()) != latest {
				t.Fatalf("%q is said to be the expected %q", s.Series(), latest)
			}
			expect, latest = s.ID(), string(s.Series())
			ls, problem := parseSeries(latest, format, s.rounding, nil)
			if problem != "" || !reflect.DeepEqual(sortedPairs(ls), want.Labels) {
				t.Fatalf("raw %q: got %v, want %v", latest, ls, want.Labels)
			}
		}
	})
}
