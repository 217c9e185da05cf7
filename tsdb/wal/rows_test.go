package wal

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// scrapeOf returns samples like those of a scrape: counters and gauges, whole numbers and others, and buckets that stay.
func scrapeOf(n int, seed uint64) []Sample {
	rnd := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // A test's randomness.
	samples := make([]Sample, n)
	count := 0.0
	for i := range samples {
		s := &samples[i]
		s.Ref, s.T = uint64(5000+i), 1_791_234_567_000
		switch i / 12 % 10 {
		case 0:
			s.V = rnd.Float64()
		case 1:
			s.V = float64(rnd.IntN(1 << 30))
		case 2:
			s.V = 0
		case 3:
			s.V = float64(rnd.IntN(1000)) / 10
		default:
			if rnd.IntN(3) == 0 {
				count += float64(rnd.IntN(500))
			}
			s.V = count
		}
	}
	return samples
}

// checkRows makes sure that the library reads what the encoder of rows writes.
func checkRows(t *testing.T, e *rowEncoder, rec []byte) (size int, ok bool) {
	t.Helper()
	out, ok := e.encode([]byte("before"), rec)
	if !ok {
		return 0, false
	}
	var d decompressor
	defer d.close()
	got, err := d.unzstd(out[len("before"):])
	if err != nil {
		t.Fatalf("decode the frame of %d bytes: %v", len(rec), err)
	}
	if !bytes.Equal(got, rec) {
		t.Fatalf("decode the frame of %d bytes: other bytes came back", len(rec))
	}
	return len(out) - len("before"), true
}

func TestRows(t *testing.T) {
	e := newRowEncoder()
	check := func(name string, samples []Sample, wantOK bool, atMost float64) {
		t.Helper()
		rec := AppendSamplesV2(nil, samples)
		size, ok := checkRows(t, e, rec)
		if ok != wantOK {
			t.Errorf("%s: taken %v", name, ok)
		}
		if perSample := float64(size) / float64(len(samples)); perSample > atMost {
			t.Errorf("%s: %.2f bytes per sample", name, perSample)
		}
	}
	change := func(n int, f func(i int, s *Sample)) []Sample {
		samples := scrapeOf(n, uint64(n))
		for i := range samples {
			f(i, &samples[i])
		}
		return samples
	}
	check("a scrape", scrapeOf(1250, 1), true, 5)
	check("small", scrapeOf(60, 2), true, 7)
	check("too small", scrapeOf(40, 2), false, 0)
	check("several blocks", scrapeOf(100_000, 3), true, 5)
	for n := 11_900; n < 11_930; n++ { // Around the end of a block.
		check(fmt.Sprintf("%d samples", n), scrapeOf(n, 4), true, 5)
	}
	for n := 5_940; n < 6_000; n += 3 { // Around the sizes that two bytes hold.
		check(fmt.Sprintf("%d samples", n), scrapeOf(n, 4), true, 5)
	}
	check("one value", change(5000, func(_ int, s *Sample) { s.V = 1 }), true, 0.1)
	check("first other than the rest", change(100, func(i int, s *Sample) { s.V = float64(min(i, 1)) }), true, 2)
	check("gaps", change(3000, func(i int, s *Sample) { s.Ref += uint64(i / 7 * (i % 200)) }), true, 12)
	check("falling references", change(3000, func(i int, s *Sample) { s.Ref = uint64(1_000_000 - i) }), true, 5)
	check("scattered references", change(3000, func(i int, s *Sample) { s.Ref = uint64(i) * 2654435761 }), true, 16)
	check("alternating references", change(300, func(i int, s *Sample) { s.Ref = uint64(1000 + 40*(i%2)) }), true, 8)
	check("noise", change(40_000, func(i int, s *Sample) {
		s.V = math.Float64frombits(uint64(i+1) * 0x9e3779b97f4a7c15)
	}), true, 10)
	check("noise that becomes quiet", change(40_000, func(i int, s *Sample) {
		s.Ref = uint64(i)
		if s.V = 5; i < 20_000 {
			s.Ref, s.V = uint64(i)*0x9e3779b97f4a7c15, math.Float64frombits(uint64(i+1)*0x9e3779b97f4a7c15)
		}
	}), true, 12)
	check("own timestamps", change(300, func(i int, s *Sample) { s.T += int64(i) }), false, 0)
	check("start times", change(300, func(_ int, s *Sample) { s.ST = 5 }), false, 0)
	check("one start time", change(300, func(i int, s *Sample) { s.ST = int64(i / 299) }), false, 0)
	check("a start time at first", change(300, func(i int, s *Sample) { s.ST = int64(1_791_234_000_000 * (1 - min(i, 1))) }), true, 5)
}

// pastOf returns samples as those who catch up send them: so many of each series, one behind the other, interval milliseconds
// apart.
func pastOf(series, each int, interval int64, seed uint64) []Sample {
	rnd := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // A test's randomness.
	samples := make([]Sample, 0, series*each)
	for i := range series {
		v := float64(rnd.IntN(1 << 20))
		for k := range each {
			switch {
			case i/7%2 == 0: // Stays.
			case i%5 == 0:
				v = rnd.Float64()
			case rnd.IntN(3) > 0:
				v += float64(rnd.IntN(500))
			}
			samples = append(samples, Sample{Ref: uint64(5000 + i), T: 1_791_234_567_000 + int64(k)*interval, V: v})
		}
	}
	return samples
}

// TestRowsOfSeveralTimes: samples that are not all of one time are compressed about as well as by the library.
func TestRowsOfSeveralTimes(t *testing.T) {
	e := newRowEncoder()
	library, err := newCompressor(ZstdLight)
	if err != nil {
		t.Fatal(err)
	}
	library.rows = nil
	check := func(name string, samples []Sample, atMost float64) {
		t.Helper()
		rec := AppendSamplesV2(nil, samples)
		size, ok := checkRows(t, e, rec)
		if ok != (atMost > 0) {
			t.Errorf("%s: taken %v", name, ok)
		}
		if !ok {
			return
		}
		other, _ := library.encode(rec)
		ratio := float64(size) / float64(len(other))
		t.Logf("%s: %.2f bytes per sample, %.2f of the library's", name, float64(size)/float64(len(samples)), ratio)
		if ratio > atMost {
			t.Errorf("%s: %d bytes, %.2f of the library's", name, size, ratio)
		}
	}
	check("caught up", pastOf(100, 20, 15_000, 1), 0.8)
	check("few samples each", pastOf(700, 3, 15_000, 2), 1.05)
	check("many samples each", pastOf(8, 300, 15_000, 3), 1.3)
	check("one series", pastOf(1, 500, 15_000, 3), 0)
	check("short intervals", pastOf(100, 20, 1_000, 4), 1.1)
	check("very long", pastOf(3000, 20, 60_000, 5), 1.05)
	check("series longer than is looked back", pastOf(3, 8000, 60_000, 6), 0)
	scrapes := func(n int, shift int64) (all []Sample) {
		for i := range n {
			for _, s := range scrapeOf(300, uint64(i)) {
				s.T += int64(i) * shift
				all = append(all, s)
			}
		}
		return all
	}
	check("scrapes behind each other", scrapes(5, 15_000), 1.2)
	check("scrapes of a second", scrapes(5, 173), 1.2)
	uneven := pastOf(200, 20, 15_000, 7)
	rnd := rand.New(rand.NewPCG(7, 7)) //nolint:gosec // A test's randomness.
	uneven = slices.DeleteFunc(uneven, func(Sample) bool { return rnd.IntN(20) == 0 })
	check("with gaps", uneven, 0)
}

// TestRowsOfLongRepetitions: behind noise, series that are the same make a sequence whose lengths and distance all take many
// bits.
func TestRowsOfLongRepetitions(t *testing.T) {
	e := newRowEncoder()
	for each := 500; each < 5000; each = each*6/5 + 1 {
		for copies := 2; copies < 5; copies++ {
			rnd := rand.New(rand.NewPCG(uint64(each), uint64(copies))) //nolint:gosec // A test's randomness.
			samples := make([]Sample, 2*minRows)
			ref := uint64(1)
			for k := range samples {
				samples[k] = Sample{Ref: ref, T: 1_791_234_567_000 + int64(min(k, 1)), V: math.Float64frombits(rnd.Uint64())}
				ref += 1 + rnd.Uint64N(1<<32)
			}
			noise := make([]Sample, each)
			for k := range noise {
				noise[k] = Sample{T: 1_791_234_567_000 + int64(k)*60_000 + rnd.Int64N(60_000), V: math.Float64frombits(rnd.Uint64())}
			}
			ref = samples[len(samples)-1].Ref
			for range copies {
				ref++
				for _, s := range noise {
					s.Ref = ref
					samples = append(samples, s)
				}
			}
			if _, ok := checkRows(t, e, AppendSamplesV2(nil, samples)); !ok && each < 2000 {
				t.Errorf("%d times %d samples were not taken", copies, each)
			}
		}
	}
}

// anySamples returns samples of series beside each other or not, at times and with values that repeat in some way or not at all.
func anySamples(r *rand.Rand) (samples []Sample) {
	ref, ts, v := r.Uint64N(1<<20), int64(1_791_234_567_000), 0.0
	for range 1 + r.IntN(3) {
		spread, span := []uint64{0, 1, 60, 1 << 20, 1 << 40, math.MaxUint64}[r.IntN(6)], []int64{0, 1, 20, 15_000, 1 << 40, math.MaxInt64}[r.IntN(6)]
		noise, each := []int{0, 1, 5, 100}[r.IntN(4)], []int{1, 1, 2, 20, 500, 4000}[r.IntN(6)]
		back, uneven, at := r.IntN(4) > 0, r.IntN(4), len(samples)
		for n := r.IntN(1 + []int{40, 400, 6000}[r.IntN(3)]); n > 0; n -= each {
			if spread > 0 {
				ref += 1 + r.Uint64N(spread)
			}
			if back {
				ts = 1_791_234_567_000
			}
			if k := len(samples) - each; k >= at && noise == 1 { // The series before, once more.
				for _, s := range samples[k:] {
					s.Ref = ref
					samples = append(samples, s)
				}
				continue
			}
			for k := range each {
				if ts += span; uneven > 0 {
					ts += int64(k % (7 * uneven) * uneven)
				}
				switch {
				case noise == 1:
					v = math.Float64frombits(r.Uint64())
				case noise > 0 && r.IntN(noise) == 0:
					v += float64(r.IntN(1000))
				}
				samples = append(samples, Sample{Ref: ref, T: ts, V: v})
			}
		}
	}
	return samples
}

// TestRowsOfAnySamples: records hold the samples that they were made of, and whatever the encoder takes, the library reads.
func TestRowsOfAnySamples(t *testing.T) {
	e := newRowEncoder()
	taken := 0
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 3)) //nolint:gosec // A test's randomness.
		samples := anySamples(r)
		for k := 0; seed%4 == 0 && k < len(samples); k += 1 + r.IntN(200) {
			samples[k].ST = []int64{5, samples[k].T, math.MinInt64, math.MaxInt64}[r.IntN(4)]
		}
		rec := AppendSamplesV2(nil, samples)
		if len(samples) > 0 {
			same := func(a, b Sample) bool {
				return a.Ref == b.Ref && a.T == b.T && a.ST == b.ST && math.Float64bits(a.V) == math.Float64bits(b.V)
			}
			if got, err := DecodeSamples(rec, nil); err != nil || !slices.EqualFunc(got, samples, same) {
				t.Fatalf("seed %d: other samples came back, %v", seed, err)
			}
		}
		if _, ok := checkRows(t, e, rec); ok {
			taken++
		}
	}
	if taken < 50 {
		t.Errorf("%d of 400 were taken", taken)
	}
}

// TestRowsRefused makes sure that records that are cut or of another type are left to the library.
func TestRowsRefused(t *testing.T) {
	e := newRowEncoder()
	rec := AppendSamplesV2(nil, scrapeOf(60, 1))
	for n := range rec {
		if _, ok := checkRows(t, e, rec[:n]); ok && (len(rec)-n)%rowSize != 0 {
			t.Errorf("a record that is cut at %d was taken", n)
		}
	}
	if _, ok := e.encode(nil, AppendSamples(nil, scrapeOf(60, 1))); ok {
		t.Error("a record of another type was taken")
	}
}

// TestCodes checks the codes of lengths against their definition: a code stands for consecutive lengths, as many as
// the bits behind it can tell apart.
func TestCodes(t *testing.T) {
	check := func(name string, of func(uint32) (uint8, uint), last uint8) {
		t.Helper()
		code, next := uint8(0), uint32(0)
		for n := uint32(0); n <= maxBlock; n++ {
			c, more := of(n)
			if n == next && n > 0 {
				code++
			}
			if c != code || n == next && n&(1<<more-1) != 0 {
				t.Fatalf("%s of %d: code %d, want %d", name, n, c, code)
			}
			if n == next {
				next += 1 << more
			}
		}
		if code != last {
			t.Errorf("%s: the last code is %d, want %d", name, code, last)
		}
	}
	check("literals", literalCode, 36) // One more than there are, for a length that no block has.
	check("matches", matchCode, 53)
}

func FuzzRows(f *testing.F) {
	f.Add(AppendSamplesV2(nil, scrapeOf(60, 1)), uint16(3))
	f.Add(AppendSamplesV2(nil, scrapeOf(500, 2)), uint16(0))
	f.Add(AppendSamples(nil, scrapeOf(60, 3)), uint16(1))
	f.Add(AppendSamplesV2(nil, pastOf(10, 20, 15_000, 1)), uint16(2))
	f.Add(AppendSamplesV2(nil, pastOf(60, 2, 1, 1)), uint16(50))
	e := newRowEncoder()
	f.Fuzz(func(t *testing.T, rec []byte, times uint16) {
		checkRows(t, e, rec)
		if at := firstEntry(rec); at > 0 { // What follows the first entry, again and again.
			checkRows(t, e, slices.Concat(rec, bytes.Repeat(rec[at:], int(times%300))))
		}
	})
}
