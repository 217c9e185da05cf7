package inspect

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/units"
	"github.com/oklog/ulid/v2"

	"github.com/narthex-io/narthex/tsdb/block"
)

// Block describes a block that can be opened.
type Block struct {
	Meta block.Meta
	// Size is that of all files, in bytes.
	Size int64
}

// Open describes the block in a folder.
func Open(dir string) (Block, error) {
	b, err := block.Open(dir)
	if err != nil {
		return Block{}, err
	}
	return Block{Meta: b.Meta(), Size: b.Size()}, b.Close()
}

// Blocks returns the blocks of a data directory by the time at which they begin. Damaged are those that can't be opened,
// unless what they held is in a block that was merged of them.
func Blocks(dir string) (blocks []Block, damaged []error, err error) {
	names, err := blockNames(dir)
	if err != nil {
		return nil, nil, err
	}
	failed := map[string]error{}
	for _, name := range names {
		b, err := Open(filepath.Join(dir, name))
		if err != nil {
			failed[name] = err
			continue
		}
		blocks = append(blocks, b)
	}
	for _, b := range blocks {
		for _, p := range b.Meta.Compaction.Parents {
			delete(failed, p.ULID.String())
		}
	}
	for _, name := range names {
		if err := failed[name]; err != nil && !gone(filepath.Join(dir, name)) {
			damaged = append(damaged, err)
		}
	}
	slices.SortStableFunc(blocks, func(a, b Block) int { return cmp.Compare(a.Meta.MinTime, b.Meta.MinTime) })
	return blocks, damaged, nil
}

// gone reports whether a server has deleted a block meanwhile.
func gone(dir string) bool {
	_, err := os.Stat(dir)
	return errors.Is(err, fs.ErrNotExist)
}

// blockNames returns the names of the folders that are named as blocks, sorted.
func blockNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list data directory: %w", err)
	}
	var names []string
	for _, e := range entries {
		if _, err := ulid.ParseStrict(e.Name()); err == nil && e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// WriteTable writes a line for each block below a header; with human, times as dates and sizes in units.
func WriteTable(w io.Writer, blocks []Block, human bool) error {
	t := tabwriter.NewWriter(w, 13, 0, 2, ' ', 0)
	fmt.Fprintln(t, "BLOCK ULID\tMIN TIME\tMAX TIME\tDURATION\tNUM SAMPLES\tNUM CHUNKS\tNUM SERIES\tSIZE")
	for _, b := range blocks {
		m := b.Meta
		from, to, size := strconv.FormatInt(m.MinTime, 10), strconv.FormatInt(m.MaxTime, 10), strconv.FormatInt(b.Size, 10)
		if human {
			from, to, size = date(m.MinTime), date(m.MaxTime), units.Base2Bytes(b.Size).String()
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\n",
			m.ULID, from, to, span(m), m.Stats.NumSamples, m.Stats.NumChunks, m.Stats.NumSeries, size)
	}
	return t.Flush()
}

func date(millis int64) string { return time.Unix(millis/1000, 0).UTC().String() }

func span(m block.Meta) time.Duration { return time.Duration(m.MaxTime-m.MinTime) * time.Millisecond }
