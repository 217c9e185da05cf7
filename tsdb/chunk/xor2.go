package chunk

import (
	"math"

	"github.com/narthex-io/narthex/model/sample"
)

// xor2Reader reads XOR2 chunks sample after sample. A control prefix tells of timestamp and value together, and stale
// markers leave the value that differences build on alone.
type xor2Reader struct {
	r     bitReader
	t     int64
	delta uint64
	// v holds the latest value that was no stale marker; stale tells that the sample is one.
	v     xorValue
	stale bool
	st    stReader
}

func decodeXOR2(data []byte, mint, maxt int64, dst *Columns) error {
	n, err := Samples(EncXOR2, data)
	if err != nil || n == 0 {
		return err
	}
	if len(data) < 3 {
		return endsEarly(EncXOR2, 0, n)
	}
	d := xor2Reader{r: bitReader{data: data, pos: 3}, st: newSTReader(data[2])}
	for i := range n {
		prev := d.t
		d.next(i)
		d.st.next(&d.r, i, prev, d.t)
		if d.r.overrun() {
			return endsEarly(EncXOR2, i, n)
		}
		if d.t > maxt {
			return nil
		}
		if d.t >= mint {
			dst.add(d.t, d.st.st, d.value(), nil)
		}
	}
	return nil
}

func (d *xor2Reader) value() float64 {
	if d.stale {
		return sample.StaleNaN()
	}
	return d.v.float()
}

// next reads sample number i, without its start timestamp.
func (d *xor2Reader) next(i int) {
	d.stale = false
	switch i {
	case 0:
		d.t = d.r.varint()
		bits := d.r.take64(64)
		if d.stale = sample.IsStale(math.Float64frombits(bits)); !d.stale {
			d.v.bits = bits
		}
	case 1:
		d.delta = d.r.uvarint()
		d.t += int64(d.delta)
		d.readValue()
	default:
		d.readJoint()
	}
}

// readJoint reads a sample from the third on: how far the distance changed and whether the value did.
func (d *xor2Reader) readJoint() {
	control := d.r.ones(5)
	switch control {
	case 2:
		d.delta += uint64(twosComplement(d.r.take(13), 13))
	case 3:
		d.delta += uint64(twosComplement(d.r.take(20), 20))
	case 4:
		d.delta += d.r.take64(64)
	}
	d.t += int64(d.delta)
	switch control {
	case 0:
	case 1:
		if d.r.take(1) == 1 {
			d.v.readWindow(&d.r)
		}
		d.v.readDiff(&d.r)
	case 5:
		d.stale = true
	default:
		d.readValue()
	}
}

// readValue reads a value of which nothing is known yet.
func (d *xor2Reader) readValue() {
	switch d.r.ones(3) {
	case 0:
	case 1:
		d.v.readDiff(&d.r)
	case 2:
		d.v.readWindow(&d.r)
		d.v.readDiff(&d.r)
	default:
		d.stale = true
	}
}

func twosComplement(u uint64, k uint) int64 { return int64(u<<(64-k)) >> (64 - k) }

// stReader follows the start timestamps of a chunk: the first sample may have one, and from sample changeOn on, unless
// that is zero, each sample tells by how much the distance from the sample before it changed.
type stReader struct {
	known    bool
	changeOn int
	st, diff int64
}

func newSTReader(header byte) stReader {
	return stReader{known: header&0x80 != 0, changeOn: int(header & 0x7f)}
}

// next reads what follows sample number i at t; prev is the time of the sample before it.
func (s *stReader) next(r *bitReader, i int, prev, t int64) {
	switch {
	case i == 0:
		if s.known {
			s.st = t - r.varint()
		}
	case s.changeOn == 0 || i < s.changeOn:
	default:
		d := r.varbitInt()
		if i > s.changeOn {
			d += s.diff
		}
		s.diff = d
		s.st = prev - d
	}
}
