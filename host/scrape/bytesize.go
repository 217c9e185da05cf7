package scrape

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/alecthomas/units"
	"go.yaml.in/yaml/v3"
)

// ByteSize is a number of bytes, written with a unit: 10MB. Units are powers of 1024.
type ByteSize int64

// ParseByteSize reads a size such as 512KB, 1.5GiB, 1MiB512KiB or 0, the only one that needs no unit.
func ParseByteSize(s string) (ByteSize, error) {
	if v, err := strconv.ParseFloat(s, 64); err == nil && v == 0 {
		return 0, nil
	}
	const figures, symbols = "0123456789.", "KMGTPEiB"
	sum := 0.0
	for rest := s; rest != "" || s == ""; {
		digits := len(rest) - len(strings.TrimLeft(rest, figures))
		v, err := strconv.ParseFloat(rest[:digits], 64)
		if err != nil || strings.Trim(rest, figures+symbols) != "" {
			return 0, fmt.Errorf("%q is not a size: write a number and a unit, such as 10MB", s)
		}
		rest = rest[digits:]
		letters := len(rest) - len(strings.TrimLeft(rest, symbols))
		shift, ok := shiftOf(rest[:letters])
		if !ok {
			return 0, fmt.Errorf("%q has no known unit: B, KB, MB, GB, TB, PB or EB", s)
		}
		rest = rest[letters:]
		sum += v * float64(int64(1)<<shift)
	}
	if sum >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is too large", s)
	}
	return ByteSize(sum), nil
}

// shiftOf returns the power of two that a unit stands for.
func shiftOf(unit string) (shift int, ok bool) {
	if unit == "B" {
		return 0, true
	}
	prefix := strings.TrimSuffix(strings.TrimSuffix(unit, "B"), "i")
	at := strings.Index("KMGTPE", prefix)
	return 10 * (at + 1), len(prefix) == 1 && at >= 0 && strings.HasSuffix(unit, "B")
}

// UnmarshalYAML decodes a size.
func (b *ByteSize) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.ScalarNode {
		return fmt.Errorf("a size such as 10MB is needed here")
	}
	v, err := ParseByteSize(node.Value)
	*b = v
	return err
}

// MarshalYAML writes the size as it would be written by hand.
func (b ByteSize) MarshalYAML() (any, error) { return b.String(), nil }

// String formats the size as upstream does: 1MiB476KiB.
func (b ByteSize) String() string { return units.Base2Bytes(b).String() }
