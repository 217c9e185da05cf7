package scrape

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/narthex-io/narthex/host/scrape/exposition"
)

func inf() float64 { return math.Inf(1) }

// optionSets are what bodies are read with.
func optionSets(format exposition.Format) (all []exposition.Options) {
	for _, o := range []exposition.Options{
		{},
		{NativeHistograms: true},
		{NativeHistograms: true, KeepClassic: true},
		{ConvertClassic: true},
		{NativeHistograms: true, ConvertClassic: true},
		{ConvertClassic: true, KeepClassic: true},
		{NativeHistograms: true, ConvertClassic: true, KeepClassic: true, StartTimes: true},
		{StartTimes: true, NativeHistograms: true},
		{TypeAndUnit: true, NativeHistograms: true, ConvertClassic: true},
		{TypeAndUnit: true},
	} {
		o.Format = format
		all = append(all, o)
	}
	return all
}

// TestDifferential reads the same bodies with both. SEED and BODIES choose which are made.
func TestDifferential(t *testing.T) {
	seed, count := uint64(number("SEED", 1)), number("BODIES", 400)
	r := rand.New(rand.NewPCG(seed, 0))
	all := append(append(realBodies(t), recordedBodies(t)...), writtenBodies(t)...)
	for i := range count {
		var families [][]byte
		for j := range 1 + r.IntN(4) {
			families = append(families, delimited(madeFamily(r, j)))
		}
		all = append(all, body{fmt.Sprint("made protobuf ", i), exposition.Protobuf, bytes.Join(families, nil)},
			body{fmt.Sprint("made text ", i), exposition.Text, madeText(r, exposition.Text)},
			body{fmt.Sprint("made OpenMetrics ", i), exposition.OpenMetrics, madeText(r, exposition.OpenMetrics)})
	}
	for _, b := range slices.Clone(all) {
		if len(b.bytes) < 10_000 {
			all = append(all, body{b.name + " mutated", b.format, mutated(r, b.bytes)})
		}
	}
	var s exposition.Scanner
	samples, failing, failures, excused := 0, 0, 0, map[string]int{}
	for _, b := range all {
		for _, opts := range optionSets(b.format) {
			want := theirs(b.bytes, opts)
			got := ours(&s, b.bytes, opts)
			samples += len(want.lines)
			if want.err != nil {
				failing++
			}
			reason, problem := compare(b.bytes, opts, got, want)
			if problem != "" {
				t.Errorf("%s %+v: %s\nbody %q", b.name, opts, problem, b.bytes[:min(len(b.bytes), 2000)])
			}
			if reason != "" {
				excused[reason]++
			}
			if problem != "" {
				failures++
			}
			if failures > 10 {
				t.Fatal("that is enough")
			}
		}
	}
	t.Logf("%d bodies, each read in %d ways: %d lines, %d readings fail", len(all), len(optionSets(0)), samples, failing)
	for reason, n := range excused {
		t.Logf("differs on purpose %d times: %s", n, reason)
	}
}

func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// compare returns what is wrong with a reading, or else the reason for which it differs on purpose.
func compare(b []byte, opts exposition.Options, got, want reading) (reason, problem string) {
	same := (got.err == nil) == (want.err == nil)
	if same && (got.err != nil || slices.Equal(got.lines, want.lines)) {
		return "", "" // Of a body that fails nothing is stored.
	}
	if leadingBlanks(b, opts) {
		return "leading blanks are no part of a name", ""
	}
	if opts.Format != exposition.Protobuf && bytes.IndexByte(b, 0) >= 0 {
		return "a zero byte does not end a body silently", ""
	}
	if reason = excuse(opts, got, want); reason != "" {
		return reason, ""
	}
	if hasComment(b, opts) {
		return "a comment among the lines of a histogram that is converted does not end it", ""
	}
	if !same {
		return "", fmt.Sprintf("got error %v, want %v", got.err, want.err)
	}
	for i := range min(len(got.lines), len(want.lines)) {
		if got.lines[i] != want.lines[i] {
			return "", fmt.Sprintf("line %d:\n got %s\nwant %s", i, got.lines[i], want.lines[i])
		}
	}
	return "", fmt.Sprintf("got %d lines, want %d:\n got %q\nwant %q", len(got.lines), len(want.lines), got.lines, want.lines)
}

// difference is something in which we differ on purpose.
type difference struct {
	reason string
	// applies says for which options.
	applies func(o exposition.Options) bool
	// ignores matches lines; its groups, but for the first and the third, are not compared.
	ignores *regexp.Regexp
}

var differences = []difference{
	{
		"upstream loses exemplars of all native histograms of a family but the first",
		func(o exposition.Options) bool { return o.Format == exposition.Protobuf && o.NativeHistograms },
		regexp.MustCompile(`^(\{.*\} (?:int|float) .*?)( #.*)()$`),
	},
	{
		"upstream gives exemplars of converted histograms the timestamps of other ones",
		func(o exposition.Options) bool { return o.Format == exposition.OpenMetrics && o.ConvertClassic },
		regexp.MustCompile(`^(\{.*\} (?:int|float) .*?)( #.*)()$`),
	},
	{
		"upstream gives a converted histogram the timestamp of the series after it",
		func(o exposition.Options) bool { return o.Format != exposition.Protobuf && o.ConvertClassic },
		regexp.MustCompile(`^(\{.*\} (?:int|float) .*\])( @-?\d+)(.*)$`),
	},
	{
		"upstream gives metrics without a unit that of the family before",
		func(o exposition.Options) bool { return o.Format == exposition.OpenMetrics && o.TypeAndUnit },
		regexp.MustCompile(`^(\{.*?)(__unit__="[^"]*",)(.*)$`),
	},
	{
		"labels with empty values, which are not stored, are gone from upstream's converted histograms before that",
		func(o exposition.Options) bool { return o.Format != exposition.Protobuf && o.ConvertClassic },
		regexp.MustCompile(`^(\{.*?)([a-zA-Z_]\w*="",)(.*\} (?:int|float) .*)$`),
	},
	{
		"labels of exemplars with empty values are left out",
		func(o exposition.Options) bool { return o.Format == exposition.Protobuf },
		regexp.MustCompile(`^(.* # \{[^}]*?)([a-zA-Z_]\w*="",)(.*)$`),
	},
	{
		"labels of exemplars: escapes are resolved, empty ones left out, and so are exemplars with a label twice",
		func(o exposition.Options) bool { return o.Format == exposition.OpenMetrics },
		regexp.MustCompile(`^(.*)( # \{.*(?:=""|\\|[a-z_]+=.*,[a-z_]+=).*| # \{\} [^#]*)()$`),
	},
}

// excuse returns why a reading may differ.
func excuse(opts exposition.Options, got, want reading) string {
	if got.err != nil || want.err != nil {
		return excuseVerdict(got, want)
	}
	var reasons []string
	ours, theirs := slices.Clone(got.lines), slices.Clone(want.lines)
	for reason, f := range map[string]func(ours, theirs []string){
		"exemplars whose labels have no name, or are not UTF-8, are left out": invalidExemplars,
		"start times are only for series of the family that has them":         foreignStartTimes,
	} {
		if f(ours, theirs); slices.Equal(ours, theirs) {
			return reason
		}
	}
	for _, d := range differences {
		if !d.applies(opts) {
			continue
		}
		x, y := d.without(ours), d.without(theirs)
		if !slices.Equal(x, ours) || !slices.Equal(y, theirs) {
			reasons = append(reasons, d.reason)
		}
		if ours, theirs = x, y; slices.Equal(ours, theirs) {
			return strings.Join(reasons, "; ")
		}
	}
	return ""
}

var exemplars = regexp.MustCompile(` # .*$`)

// invalidExemplars removes all exemplars of samples of which one has invalid labels.
func invalidExemplars(ours, theirs []string) {
	for i := range min(len(ours), len(theirs)) {
		if !utf8.ValidString(theirs[i]) || strings.Contains(theirs[i], `\x`) || strings.Contains(theirs[i], `# {="`) {
			ours[i], theirs[i] = exemplars.ReplaceAllString(ours[i], ""), exemplars.ReplaceAllString(theirs[i], "")
		}
	}
}

var (
	metricName = regexp.MustCompile(`__name__="([^"]*)"`)
	startTime  = regexp.MustCompile(` since \d+`)
)

// foreignStartTimes removes start times of series that follow a family that they are not part of.
func foreignStartTimes(ours, theirs []string) {
	for _, lines := range [][]string{ours, theirs} {
		family := ""
		for i, line := range lines {
			name := metricName.FindStringSubmatch(line)
			switch {
			case name == nil:
				family = strings.Fields(line)[1]
			case !strings.HasPrefix(name[1], family):
				lines[i] = startTime.ReplaceAllString(line, "")
			}
		}
	}
}

// without returns the lines without what differs.
func (d *difference) without(lines []string) []string {
	lines = slices.Clone(lines)
	for i := range lines {
		lines[i] = d.ignores.ReplaceAllString(lines[i], "$1$3")
	}
	return lines
}

// excuseVerdict returns why a body is accepted, or not, as it is: most often because a problem is found when the body is
// read, and not when what was read is to be stored, where the scrape fails all the same.
func excuseVerdict(got, want reading) string {
	if got.err == nil || want.err != nil {
		return ""
	}
	for text, reason := range map[string]string{
		"empty name":                          "an empty name fails here, not when it is stored",
		"invalid UTF-8":                       "a name that is not UTF-8 fails here, not when it is stored",
		"more observations than the next one": "buckets that contradict each other fail here, not when they are stored",
		"side: spans require":                 "spans without buckets fail here, not when they are stored",
		"is not unique":                       "a label twice fails also where the line becomes part of a histogram",
	} {
		if strings.Contains(got.err.Error(), text) {
			return reason
		}
	}
	return ""
}

var leadingBlank = regexp.MustCompile(`(?m)^[ \t]`)

// leadingBlanks says that upstream takes blanks at the start of a line for the start of a name.
func leadingBlanks(b []byte, opts exposition.Options) bool {
	return opts.Format != exposition.Protobuf && leadingBlank.Match(b)
}

// metadataLine matches lines that begin with a hash and are no comments.
var metadataLine = regexp.MustCompile(`^#[ \t]+((HELP|TYPE|UNIT)[ \t]+[^ \t\n]|EOF\b)`)

// hasComment says that a text whose histograms are converted has comments.
func hasComment(b []byte, opts exposition.Options) bool {
	if opts.Format == exposition.Protobuf || !opts.ConvertClassic {
		return false
	}
	for line := range bytes.Lines(b) {
		if line[0] == '#' && !metadataLine.Match(line) {
			return true
		}
	}
	return false
}

// FuzzDifferential looks for bodies on which the readings differ. The last byte chooses format and options.
func FuzzDifferential(f *testing.F) {
	for _, b := range append(recordedBodies(f), writtenBodies(f)...) {
		f.Add(append(bytes.Clone(b.bytes), byte(b.format)))
	}
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 100 {
		f.Add(append(delimited(madeFamily(r, i)), byte(exposition.Protobuf)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		b, choice := data[:len(data)-1], int(data[len(data)-1])
		sets := optionSets(exposition.Format(choice % 3))
		opts := sets[choice/3%len(sets)]
		var s exposition.Scanner
		if _, problem := compare(b, opts, ours(&s, b, opts), theirs(b, opts)); problem != "" {
			t.Fatalf("%+v: %s", opts, problem)
		}
	})
}
