package ruletest

import (
	"encoding/xml"
	"io"
	"strings"
	"time"
)

type junitSuites struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name      string      `xml:"name,attr"`
	Tests     int         `xml:"tests,attr"`
	Failures  int         `xml:"failures,attr"`
	Errors    int         `xml:"errors,attr"`
	Skipped   int         `xml:"skipped,attr"`
	Timestamp string      `xml:"timestamp,attr"`
	Cases     []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name     string   `xml:"name,attr"`
	Seconds  float64  `xml:"time,attr"`
	Failures []string `xml:"failure,omitempty"`
	Error    string   `xml:"error,omitempty"`
}

// WriteJUnit writes results as JUnit XML, a suite for each file; now is when they were run.
func WriteJUnit(w io.Writer, results []Result, now time.Time) error {
	var all junitSuites
	for _, r := range results {
		s := junitSuite{Name: r.File, Tests: len(r.Cases), Timestamp: now.Format("2006-01-02T15:04:05")}
		if r.Err != nil {
			s.Errors = 1
			s.Cases = append(s.Cases, junitCase{Name: "unknown", Error: r.Err.Error()})
		}
		for _, c := range r.Cases {
			shown := junitCase{Name: c.Name, Seconds: c.Took.Seconds()}
			for _, err := range c.Failures {
				shown.Failures = append(shown.Failures, strings.ToValidUTF8(err.Error(), "\uFFFD"))
			}
			s.Failures += len(c.Failures)
			s.Cases = append(s.Cases, shown)
		}
		all.Suites = append(all.Suites, s)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
