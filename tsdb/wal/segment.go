package wal

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	pageSize         = 32 << 10
	headerSize       = 7
	checkpointPrefix = "checkpoint."
	tmpSuffix        = ".tmp"
)

// Kinds of fragments, the low three bits of a header's first byte, and the compression of the record above them.
const (
	kindPadding byte = 0
	kindFull    byte = 1
	kindFirst   byte = 2
	kindMiddle  byte = 3
	kindLast    byte = 4

	kindMask   byte = 1<<3 - 1
	flagSnappy byte = 1 << 3
	flagZstd   byte = 1 << 4
)

// Segment is a file of a log.
type Segment struct {
	// Dir is the folder: the log's own or a checkpoint's.
	Dir   string
	Index int
}

// Path returns the file's name: eight digits or more.
func (s Segment) Path() string { return filepath.Join(s.Dir, fmt.Sprintf("%08d", s.Index)) }

// Chain is the segments that hold everything still needed, in the order in which they are read: those of the newest
// checkpoint, then those behind it.
type Chain struct {
	Segments []Segment
	// Checkpoint is the last segment that the checkpoint covers, -1 without one.
	Checkpoint int
	// Missing are the segments that should be there and are not.
	Missing []Gap
}

// Gap is a range of segments, both ends included, that are missing in a folder.
type Gap struct {
	Dir         string
	First, Last int
}

// ListSegments returns the segments of a folder by index. A folder that does not exist has none.
func ListSegments(fs FS, dir string) ([]Segment, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, fmt.Errorf("list segments: %w", err)
	}
	var segs []Segment
	for _, name := range names {
		if index, err := strconv.Atoi(name); err == nil && index >= 0 && len(name) >= 8 {
			segs = append(segs, Segment{Dir: dir, Index: index})
		}
	}
	slices.SortFunc(segs, func(a, b Segment) int { return a.Index - b.Index })
	return segs, nil
}

// LastCheckpoint returns the newest finished checkpoint; ok is false if there is none. A folder without segments is
// none, since each checkpoint has one: it must not hide the segments that it claims to cover.
func LastCheckpoint(fs FS, dir string) (path string, index int, ok bool, err error) {
	all, err := listCheckpoints(fs, dir)
	if err != nil {
		return "", -1, false, err
	}
	for _, index := range slices.Backward(all) {
		path := checkpointPath(dir, index)
		segs, err := ListSegments(fs, path)
		if err != nil {
			return "", -1, false, err
		}
		if len(segs) > 0 {
			return path, index, true, nil
		}
	}
	return "", -1, false, nil
}

func listCheckpoints(fs FS, dir string) ([]int, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	var all []int
	for _, name := range names {
		if rest, ok := strings.CutPrefix(name, checkpointPrefix); ok {
			if index, err := strconv.Atoi(rest); err == nil {
				all = append(all, index)
			}
		}
	}
	slices.Sort(all)
	return all, nil
}

func checkpointPath(dir string, index int) string {
	return filepath.Join(dir, fmt.Sprintf("%s%08d", checkpointPrefix, index))
}

// FindChain lists what has to be read to restore the state of the log in dir, which begins with a checkpoint or with
// segment 0. A log of out-of-order samples loses its beginning without a checkpoint: that is then among Missing.
func FindChain(fs FS, dir string) (Chain, error) {
	c := Chain{Checkpoint: -1}
	path, index, ok, err := LastCheckpoint(fs, dir)
	if err != nil {
		return c, err
	}
	if ok {
		c.Checkpoint = index
		if c.Segments, err = ListSegments(fs, path); err != nil {
			return c, err
		}
		c.findGaps(path, c.Segments, 0)
	}
	segs, err := ListSegments(fs, dir)
	if err != nil {
		return c, err
	}
	segs = slices.DeleteFunc(segs, func(s Segment) bool { return s.Index <= c.Checkpoint })
	// Without a checkpoint the log begins with segment 0: it loses segments to checkpoints alone.
	c.findGaps(dir, segs, c.Checkpoint+1)
	c.Segments = append(c.Segments, segs...)
	return c, nil
}

func (c *Chain) findGaps(dir string, segs []Segment, next int) {
	for _, s := range segs {
		if next < s.Index {
			c.Missing = append(c.Missing, Gap{dir, next, s.Index - 1})
		}
		next = s.Index + 1
	}
}
