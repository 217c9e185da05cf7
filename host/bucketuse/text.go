package bucketuse

import (
	"fmt"
	"io"
	"strings"
)

// String returns the fewest, average and most populated buckets, and the total if that is not the most.
func (h Histogram) String() string {
	text := fmt.Sprintf("%d/%.3f/%d", h.Min, h.Average, h.Max)
	if h.Total != h.Max {
		text += fmt.Sprintf("/%d", h.Total)
	}
	return text
}

func (h Histogram) kind() string {
	if h.Native {
		return "native"
	}
	return "classic"
}

// WriteText writes a line for each histogram and what they come to together, the native and the classic ones apart.
func WriteText(w io.Writer, found []Histogram) error {
	var b strings.Builder
	title(&b, "Populated buckets of each histogram",
		"The fewest at a time, the average, the most at a time, and how many there are if that is more.")
	for _, h := range found {
		fmt.Fprintf(&b, "- %s (%s): %s\n", h.Name, h.kind(), h)
	}
	b.WriteByte('\n')
	title(&b, "Populated buckets of all histograms together", "The least, the average and the greatest of the numbers above.")
	summarize(&b, "Native", found, true)
	summarize(&b, "Classic", found, false)
	_, err := io.WriteString(w, strings.TrimSuffix(b.String(), "\n"))
	return err
}

func title(b *strings.Builder, text, explanation string) {
	fmt.Fprintf(b, "%s\n%s\n%s\n\n", text, strings.Repeat("-", len(text)), explanation)
}

func summarize(b *strings.Builder, kind string, found []Histogram, native bool) {
	var fewest, average, most, total spread
	for _, h := range found {
		if h.Native == native {
			fewest.add(float64(h.Min))
			average.add(h.Average)
			most.add(float64(h.Max))
			total.add(float64(h.Total))
		}
	}
	if fewest.n == 0 {
		return
	}
	fmt.Fprintf(b, "%s histogram series (%d in total):\n- min populated: %s\n- avg populated: %.3f/%.3f/%.3f\n- max populated: %s\n",
		kind, fewest.n, fewest, average.least, average.mean(), average.greatest, most)
	if total != most {
		fmt.Fprintf(b, "- total: %s\n", total)
	}
	b.WriteByte('\n')
}

// spread sums numbers up.
type spread struct {
	n                    int
	sum, least, greatest float64
}

func (s *spread) add(v float64) {
	if s.n == 0 {
		s.least, s.greatest = v, v
	}
	s.n++
	s.sum += v
	s.least, s.greatest = min(s.least, v), max(s.greatest, v)
}

func (s spread) mean() float64 { return s.sum / float64(s.n) }

// String is for numbers that are whole.
func (s spread) String() string { return fmt.Sprintf("%.0f/%.3f/%.0f", s.least, s.mean(), s.greatest) }
