package wire

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Numbers of the fields of a label.
const labelName, labelValue = 1, 2

// AppendLabel appends a field with a label, whose message has size bytes.
func AppendLabel(b []byte, num protowire.Number, name, value string) (_ []byte, size int) {
	size = TextSize(name) + TextSize(value)
	b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.BytesType), uint64(size))
	return AppendText(AppendText(b, labelName, name), labelValue, value), size
}

// ReadLabel reads the message of a label, whose parts it returns.
func ReadLabel(message []byte) (name, value []byte, err error) {
	w := Walker{Rest: message}
	for w.Next() {
		switch w.Num {
		case labelName:
			w.Is(protowire.BytesType)
			name = w.Bytes
		case labelValue:
			w.Is(protowire.BytesType)
			value = w.Bytes
		}
	}
	return name, value, w.Err
}

// Numbers of the fields of a sample.
const (
	sampleValue, sampleTime = 1, 2
	// sampleStart is there in the second version of remote write alone.
	sampleStart = 3
)

// AppendSample appends a field with a sample.
func AppendSample(b []byte, num protowire.Number, t int64, v float64) []byte {
	n := NumberSize(uint64(t))
	if v != 0 {
		n += 1 + 8
	}
	b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.BytesType), uint64(n))
	return AppendNumber(AppendDouble(b, sampleValue, v), sampleTime, uint64(t))
}

// Sample is a sample with a float.
type Sample struct {
	// T is the time, ST that at which counting began, if it is known; in milliseconds.
	T, ST int64
	V     float64
}

// NextSample reads the next field if it is a sample that is written as all are, in a field with that number, which is below 16: a
// value, which is left out if it is zero, and a time. Fast path: others are for ReadSample.
func (w *Walker) NextSample(num byte) (s Sample, ok bool) {
	const valueTag, timeTag = sampleValue<<3 | byte(protowire.Fixed64Type), sampleTime<<3 | byte(protowire.VarintType)
	b := w.Rest
	if len(b) < 2 || b[0] != num<<3|byte(protowire.BytesType) || b[1] >= 0x80 || int(b[1]) > len(b)-2 {
		return s, false
	}
	message := b[2 : 2+int(b[1])]
	if rest := message; len(rest) > 9 && rest[0] == valueTag {
		s.V = math.Float64frombits(binary.LittleEndian.Uint64(rest[1:]))
		message = rest[9:]
	}
	if len(message) < 2 || message[0] != timeTag {
		return s, false
	}
	t, n := protowire.ConsumeVarint(message[1:])
	if n != len(message)-1 {
		return s, false
	}
	s.T = int64(t)
	w.Rest = b[2+int(b[1]):]
	return s, true
}

// ReadSample reads the message of a sample, with its start timestamp if the message is one of those that have one.
func ReadSample(message []byte, withStart bool) (s Sample, err error) {
	w := Walker{Rest: message}
	for w.Next() {
		switch {
		case w.Num == sampleValue:
			s.V = w.Double()
		case w.Num == sampleTime:
			s.T = int64(w.Number())
		case w.Num == sampleStart && withStart:
			s.ST = int64(w.Number())
		}
	}
	return s, w.Err
}
