package exposition

import (
	"bytes"
	"hash/maphash"
	"maps"
	"slices"
	"strconv"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/narthex-io/narthex/model/labels"
)

// BenchmarkScan reads real bodies: with the series of the scrape before as guesses, as a scrape of an unchanged target
// does; with all labels parsed, as a first scrape does; and with the reference library, which also builds families.
func BenchmarkScan(b *testing.B) {
	all := bodies(b, "*.text.txt")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		body := all[name]
		b.Run("body="+name+"/reader=known", func(b *testing.B) {
			opts := Options{Format: Text, Seed: maphash.MakeSeed()}
			order := seriesOf(b, body, opts)
			measure(b, body, opts, func(s *Scanner) int { return scanKnown(s, order) })
		})
		b.Run("body="+name+"/reader=unknown", func(b *testing.B) {
			var pairs []labels.Label
			measure(b, body, Options{Format: Text}, func(s *Scanner) (n int) {
				n, pairs = scanLabels(s, pairs)
				return n
			})
		})
		b.Run("body="+name+"/reader=expfmt", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				parser := expfmt.NewTextParser(model.UTF8Validation)
				if _, err := parser.TextToMetricFamilies(bytes.NewReader(body)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func measure(b *testing.B, body []byte, opts Options, read func(*Scanner) int) {
	b.Helper()
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	var s Scanner
	for b.Loop() {
		s.Reset(body, opts)
		if read(&s) == 0 {
			b.Fatal("nothing read")
		}
	}
}

func seriesOf(b *testing.B, body []byte, opts Options) (order []ID) {
	b.Helper()
	var s Scanner
	s.Reset(body, opts)
	for {
		kind, err := s.Next(ID{})
		if err != nil {
			b.Fatal(err)
		}
		switch kind {
		case End:
			return order
		case Series:
			order = append(order, s.ID())
		}
	}
}

func scanKnown(s *Scanner, order []ID) (n int) {
	for {
		expect := ID{}
		if n < len(order) {
			expect = order[n]
		}
		kind, err := s.Next(expect)
		if err != nil {
			return 0
		}
		switch kind {
		case End:
			return n
		case Series:
			n++
		}
	}
}

func scanLabels(s *Scanner, pairs []labels.Label) (int, []labels.Label) {
	n := 0
	for {
		kind, err := s.Next(ID{})
		if err != nil {
			return 0, pairs
		}
		switch kind {
		case End:
			return n, pairs
		case Series:
			if pairs, err = s.Labels(pairs[:0]); err != nil {
				return 0, pairs
			}
			n++
		}
	}
}

func BenchmarkFloat(b *testing.B) {
	for _, text := range []string{"1", "123456", "0.25", "1.7180254e+09", "12345.678901234567"} {
		raw := []byte(text)
		b.Run("value="+text+"/parser=ours", func(b *testing.B) {
			for b.Loop() {
				parseFloat(raw)
			}
		})
		b.Run("value="+text+"/parser=strconv", func(b *testing.B) {
			for b.Loop() {
				_, _ = strconv.ParseFloat(text, 64)
			}
		})
	}
}
