package scrape

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ByteSize is a number of bytes, written with a unit: 10MB. Units are powers of 1024.
type ByteSize int64

// ParseByteSize reads a size such as 512KB, 1.5GiB or 0, the only one that needs no unit.
func ParseByteSize(s string) (ByteSize, error) {
	number := strings.TrimRight(s, "KMGTPEiB")
	unit := s[len(number):]
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || v < 0 || math.IsNaN(v) {
		return 0, fmt.Errorf("%q is not a size: write a number and a unit, such as 10MB", s)
	}
	if unit == "" && v == 0 {
		return 0, nil
	}
	shift := 0
	if unit != "B" {
		prefix := strings.TrimSuffix(strings.TrimSuffix(unit, "B"), "i")
		at := strings.Index("KMGTPE", prefix)
		if len(prefix) != 1 || at < 0 || !strings.HasSuffix(unit, "B") {
			return 0, fmt.Errorf("%q has no known unit: B, KB, MB, GB, TB, PB or EB", s)
		}
		shift = 10 * (at + 1)
	}
	bytes := v * float64(int64(1)<<shift)
	if bytes >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is too large", s)
	}
	return ByteSize(bytes), nil
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

// String formats the size with the largest unit that keeps it whole.
func (b ByteSize) String() string {
	units := []string{"B", "KB", "MB", "GB", "TB", "PB", "EB"}
	i := 0
	for b != 0 && b%1024 == 0 && i < len(units)-1 {
		b /= 1024
		i++
	}
	return strconv.FormatInt(int64(b), 10) + units[i]
}
