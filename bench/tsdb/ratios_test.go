package tsdb

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

var (
	ratios = flag.Bool("ratios", false, "measure and print the table of ratios")
	rounds = flag.Int("rounds", 3, "number of measurements, of which the median counts")
	only   = flag.String("tasks", "", "regular expression of the tasks to measure; empty means all")
)

// The environment of a process that runs one task.
const (
	envTask   = "TSDBBENCH_TASK"
	envEngine = "TSDBBENCH_ENGINE"
	envDir    = "TSDBBENCH_DIR"
	envOut    = "TSDBBENCH_OUT"
)

// TestTask is the body of the processes that TestRatios starts.
func TestTask(t *testing.T) {
	name := os.Getenv(envTask)
	if name == "" {
		t.Skip("runs in the processes that TestRatios starts")
	}
	s := fullSize
	if testing.Short() {
		s = shortSize
	}
	i := slices.IndexFunc(tasks(), func(task task) bool { return task.name == name })
	r := results{}
	if err := tasks()[i].run(context.Background(), kindOf(os.Getenv(envEngine)), s, os.Getenv(envDir), r); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(os.Getenv(envOut), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRatios measures both engines in turns, each task in a process of its own so that neither pays for the other's
// garbage, and prints the medians side by side. Figures that must be equal, such as the number of series found, are
// compared.
func TestRatios(t *testing.T) {
	if !*ratios {
		t.Skip("measures only with -ratios")
	}
	all := map[string]map[string][]float64{upstreamName: {}, ourName: {}}
	began := time.Now()
	for round := range *rounds {
		names := []string{upstreamName, ourName}
		if round%2 == 1 {
			slices.Reverse(names)
		}
		dirs := map[string]string{}
		for _, name := range names {
			dirs[name] = t.TempDir()
		}
		for _, task := range tasks() {
			if *only != "" && !strings.Contains(*only, task.name) {
				continue
			}
			for _, name := range names {
				for what, v := range runTask(t, task.name, name, dirs[name]) {
					all[name][what] = append(all[name][what], v)
				}
			}
			if task.name == "replay" {
				for _, dir := range dirs {
					_ = os.RemoveAll(filepath.Join(dir, "append"))
				}
			}
		}
		for _, dir := range dirs {
			_ = os.RemoveAll(dir)
		}
	}
	t.Logf("%d rounds in %v\n%s", *rounds, time.Since(began).Round(time.Second), table(t, all[upstreamName], all[ourName]))
}

func runTask(t *testing.T, task, engine, dir string) results {
	t.Helper()
	out := filepath.Join(dir, "results.json")
	args := []string{"-test.run=^TestTask$", "-test.timeout=30m"}
	if testing.Short() {
		args = append(args, "-test.short")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), envTask+"="+task, envEngine+"="+engine, envDir+"="+dir, envOut+"="+out)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s of %s: %v\n%s", task, engine, err, b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var r results
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// target is the ratio that a figure has to stay below.
func targetOf(what string) (float64, bool) {
	for _, g := range []struct {
		prefix string
		ratio  float64
	}{
		{"append: live heap", 0.4},
		{"append: CPU µs per sample", 0.5},
		{"select in", 0.5},
		{"postings in", 0.5},
		{"read: CPU", 0.35},
		{"replay: CPU", 0.3},
		{"merge: bytes per sample", 0.9},
		{"log: bytes", 0.5},
	} {
		if strings.HasPrefix(what, g.prefix) {
			return g.ratio, what != "merge: bytes per sample, index" && what != "merge: bytes per sample, chunks"
		}
	}
	return 0, false
}

// table prints the medians; figures whose name begins with = must be the same.
func table(t *testing.T, upstream, ours map[string][]float64) string {
	t.Helper()
	names := make([]string, 0, len(ours))
	for what := range ours {
		names = append(names, what)
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(group(a)+a, group(b)+b) })
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "prometheus\tnarthex\tratio\ttarget\t\t what\n")
	selects := map[string][]float64{}
	for _, what := range names {
		theirs, ourMedian := median(upstream[what]), median(ours[what])
		if same, ok := strings.CutPrefix(what, "="); ok {
			if math.Abs(theirs-ourMedian) > 1e-9*math.Abs(theirs) {
				t.Errorf("%s: upstream has %v, narthex %v", same, theirs, ourMedian)
			}
			continue
		}
		ratio := ourMedian / theirs
		if where, _, ok := strings.Cut(what, ": "); ok && (strings.HasPrefix(where, "select in") || strings.HasPrefix(where, "postings in")) {
			selects[where] = append(selects[where], ratio)
		}
		line(w, theirs, ourMedian, ratio, what)
	}
	for _, where := range []string{"select in head", "select in block", "postings in block"} {
		if len(selects[where]) > 0 {
			line(w, math.NaN(), math.NaN(), geometricMean(selects[where]), where+", geometric mean")
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func line(w *tabwriter.Writer, theirs, ours, ratio float64, what string) {
	goal, verdict := "", ""
	if g, ok := targetOf(what); ok {
		goal = fmt.Sprintf("%.2f", g)
		if ratio > g {
			verdict = "missed"
		}
	}
	fmt.Fprintf(w, "%s\t%s\t%.2f\t%s\t%s\t %s\n", figure(theirs), figure(ours), ratio, goal, verdict, what)
}

func figure(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return fmt.Sprintf("%.4g", v)
}

// group gives the order of the table.
func group(what string) string {
	order := []string{"append", "log", "replay", "cut", "merge", "read", "select in head", "select in block", "postings", "values", "names"}
	for i, prefix := range order {
		if strings.HasPrefix(what, prefix) {
			return string(rune('a' + i))
		}
	}
	return "z"
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	switch n := len(all); {
	case n == 0:
		return math.NaN()
	case n%2 == 1:
		return all[n/2]
	default:
		return (all[n/2-1] + all[n/2]) / 2
	}
}

func geometricMean(all []float64) float64 {
	sum := 0.0
	for _, v := range all {
		sum += math.Log(v)
	}
	return math.Exp(sum / float64(len(all)))
}
