package block

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/narthex-io/narthex/tsdb/vfs"
)

const (
	tombstonesMagic   = 0x0130BA30
	tombstonesVersion = 1
	tombstonesHeader  = 5
)

// Interval is a range of times in milliseconds, both ends included.
type Interval struct{ MinTime, MaxTime int64 }

// Tombstones are the deleted ranges of a block's series, by the series' id in the index. The intervals of a series
// are sorted and neither overlap nor touch.
type Tombstones map[uint32][]Interval

// Add deletes a range of a series.
func (t Tombstones) Add(id uint32, deleted Interval) {
	all := t[id]
	if n := len(all); n == 0 || all[n-1].MaxTime < deleted.MinTime && all[n-1].MaxTime+1 < deleted.MinTime {
		t[id] = append(all, deleted)
		return
	}
	var out []Interval
	i := 0
	for ; i < len(all) && all[i].MaxTime < deleted.MinTime && all[i].MaxTime+1 < deleted.MinTime; i++ {
		out = append(out, all[i])
	}
	for ; i < len(all) && (all[i].MinTime <= deleted.MaxTime || all[i].MinTime-1 <= deleted.MaxTime); i++ {
		deleted.MinTime = min(deleted.MinTime, all[i].MinTime)
		deleted.MaxTime = max(deleted.MaxTime, all[i].MaxTime)
	}
	out = append(out, deleted)
	t[id] = append(out, all[i:]...)
}

// Clone returns a copy.
func (t Tombstones) Clone() Tombstones {
	c := maps.Clone(t)
	for id, intervals := range c {
		c[id] = slices.Clone(intervals)
	}
	return c
}

// Count returns the number of intervals.
func (t Tombstones) Count() int {
	n := 0
	for _, intervals := range t {
		n += len(intervals)
	}
	return n
}

// covers reports whether one of the intervals holds all of [mint, maxt].
func covers(intervals []Interval, mint, maxt int64) bool {
	return slices.ContainsFunc(intervals, func(i Interval) bool { return i.MinTime <= mint && maxt <= i.MaxTime })
}

// ReadTombstones reads the tombstones of the block in dir. A missing file means that nothing was deleted.
func ReadTombstones(dir string) (Tombstones, error) {
	name := filepath.Join(dir, tombstonesFile)
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return Tombstones{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read tombstones: %w", err)
	}
	t, err := decodeTombstones(b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return t, nil
}

func decodeTombstones(b []byte) (Tombstones, error) {
	if len(b) < tombstonesHeader+crc32.Size {
		return nil, fmt.Errorf("%w: %d bytes are too few for tombstones", ErrCorrupt, len(b))
	}
	if m := binary.BigEndian.Uint32(b); m != tombstonesMagic {
		return nil, fmt.Errorf("%w: the file starts with %#x, not with %#x", ErrCorrupt, m, uint32(tombstonesMagic))
	}
	if v := b[4]; v != tombstonesVersion {
		return nil, fmt.Errorf("tombstones of version %d are not supported, only %d", v, tombstonesVersion)
	}
	end := len(b) - crc32.Size
	body := b[tombstonesHeader:end]
	if crc32.Checksum(body, castagnoli()) != binary.BigEndian.Uint32(b[end:]) {
		return nil, fmt.Errorf("%w: the checksum at offset %d does not match", ErrCorrupt, end)
	}
	t := Tombstones{}
	for rest := body; len(rest) > 0; {
		offset := end - len(rest)
		id, n := binary.Uvarint(rest)
		mint, k := binary.Varint(rest[max(n, 0):])
		maxt, l := binary.Varint(rest[max(n, 0)+max(k, 0):])
		if n <= 0 || k <= 0 || l <= 0 || id > 1<<32-1 || mint > maxt {
			return nil, fmt.Errorf("%w: tombstone at offset %d is damaged", ErrCorrupt, offset)
		}
		t.Add(uint32(id), Interval{mint, maxt})
		rest = rest[n+k+l:]
	}
	return t, nil
}

// WriteTombstones replaces the tombstones of the block in dir, so that at each moment either the old or the new ones
// are there. The count in meta.json is the caller's to update.
func WriteTombstones(fs vfs.FS, dir string, t Tombstones) error {
	return vfs.Replace(fs, filepath.Join(dir, tombstonesFile), encodeTombstones(t))
}

func encodeTombstones(t Tombstones) []byte {
	b := binary.BigEndian.AppendUint32(nil, tombstonesMagic)
	b = append(b, tombstonesVersion)
	for _, id := range slices.Sorted(maps.Keys(t)) {
		for _, i := range t[id] {
			b = binary.AppendUvarint(b, uint64(id))
			b = binary.AppendVarint(b, i.MinTime)
			b = binary.AppendVarint(b, i.MaxTime)
		}
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[tombstonesHeader:], castagnoli()))
}
