package index

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/narthex-io/narthex/model/labels"
)

// maxBatch bounds the ids of series that are held at once while postings are written: 64 MiB.
const maxBatch = 16 << 20

// Writer makes an index from a stream of series in label order. Only the strings, and a number for each label pair and
// series, stay in memory; the series wait in a spool, because the symbols that come before them in the file are known
// last. After an error the writer is of no more use.
type Writer struct {
	spool *bufio.Writer
	file  io.ReadWriteSeeker

	symbols map[string]uint32
	strings []string
	pairs   map[uint64]uint32
	// pairSymbols and pairCounts tell for each pair its two symbols and the number of its series.
	pairSymbols []uint64
	pairCounts  []uint32
	series      int

	last    labels.Labels
	lastRef uint64
	// lastPairs are the labels of the latest series.
	lastPairs []knownPair
	buf       []byte
	size      [binary.MaxVarintLen64]byte
}

// knownPair is a label and the number of its pair; without a name it is none.
type knownPair struct {
	name, value string
	number      uint32
}

// NewWriter returns a writer that spools to a file, which must be empty and is the caller's to remove.
func NewWriter(spool io.ReadWriteSeeker) *Writer {
	return &Writer{
		spool:   bufio.NewWriterSize(spool, 1<<16),
		file:    spool,
		symbols: map[string]uint32{},
		pairs:   map[uint64]uint32{},
	}
}

// Series returns the number of series that were added.
func (w *Writer) Series() int { return w.series }

// Add adds the next series. Label sets, the references of chunks, and within a series their times must ascend.
func (w *Writer) Add(ls labels.Labels, chunks []ChunkMeta) error {
	if w.series > 0 && labels.Compare(w.last, ls) >= 0 {
		return fmt.Errorf("series %s comes after %s", ls, w.last)
	}
	if err := w.checkChunks(ls, chunks); err != nil {
		return err
	}
	w.last = ls
	w.series++
	// The spooled record: length of the rest, number of labels, pairs, and the chunks as they will be in the file.
	b := binary.AppendUvarint(w.buf[:0], uint64(ls.Len()))
	n := 0
	for name, value := range ls.All() {
		if n == len(w.lastPairs) {
			w.lastPairs = append(w.lastPairs, knownPair{})
		}
		// Fast path: series beside each other share most labels (BenchmarkWrite).
		known := &w.lastPairs[n]
		if known.value != value || known.name != name {
			*known = knownPair{name, value, w.pair(name, value)}
		}
		w.pairCounts[known.number]++
		b = binary.AppendUvarint(b, uint64(known.number))
		n++
	}
	w.lastPairs = w.lastPairs[:n]
	b = appendChunks(b, chunks)
	w.buf = b
	if _, err := w.spool.Write(binary.AppendUvarint(w.size[:0], uint64(len(b)))); err != nil {
		return fmt.Errorf("spool series: %w", err)
	}
	if _, err := w.spool.Write(b); err != nil {
		return fmt.Errorf("spool series: %w", err)
	}
	return nil
}

func (w *Writer) checkChunks(ls labels.Labels, chunks []ChunkMeta) error {
	for i, c := range chunks {
		switch {
		case c.MinTime > c.MaxTime:
			return fmt.Errorf("chunk of series %s ends at %d before it begins at %d", ls, c.MaxTime, c.MinTime)
		case i > 0 && c.MinTime <= chunks[i-1].MaxTime:
			return fmt.Errorf("chunk of series %s begins at %d before the one before it ends at %d", ls, c.MinTime, chunks[i-1].MaxTime)
		case c.Ref <= w.lastRef && (w.series > 0 || i > 0):
			return fmt.Errorf("chunk of series %s has reference %d after %d", ls, c.Ref, w.lastRef)
		}
		w.lastRef = c.Ref
	}
	return nil
}

func appendChunks(b []byte, chunks []ChunkMeta) []byte {
	b = binary.AppendUvarint(b, uint64(len(chunks)))
	for i, c := range chunks {
		if i == 0 {
			b = binary.AppendVarint(b, c.MinTime)
			b = binary.AppendUvarint(b, uint64(c.MaxTime-c.MinTime))
			b = binary.AppendUvarint(b, c.Ref)
			continue
		}
		prev := chunks[i-1]
		b = binary.AppendUvarint(b, uint64(c.MinTime-prev.MaxTime))
		b = binary.AppendUvarint(b, uint64(c.MaxTime-c.MinTime))
		b = binary.AppendVarint(b, int64(c.Ref-prev.Ref))
	}
	return b
}

// pair returns the number of a label pair, in the order of their first use.
func (w *Writer) pair(name, value string) uint32 {
	key := uint64(w.symbol(name))<<32 | uint64(w.symbol(value))
	n, ok := w.pairs[key]
	if !ok {
		n = uint32(len(w.pairSymbols))
		w.pairs[key] = n
		w.pairSymbols = append(w.pairSymbols, key)
		w.pairCounts = append(w.pairCounts, 0)
	}
	return n
}

func (w *Writer) symbol(s string) uint32 {
	n, ok := w.symbols[s]
	if !ok {
		n = uint32(len(w.strings))
		// The copy keeps the labels that the string is part of from staying in memory.
		s = string([]byte(s))
		w.symbols[s] = n
		w.strings = append(w.strings, s)
	}
	return n
}

// Finish writes the index of all series that were added. It does not flush out any further than to out itself.
func (w *Writer) Finish(out io.Writer) error {
	if err := w.spool.Flush(); err != nil {
		return fmt.Errorf("spool series: %w", err)
	}
	w.symbols, w.pairs = nil, nil
	f := &file{w: bufio.NewWriterSize(out, 1<<18)}
	var t toc
	f.be32(magic)
	f.bytes(version)
	t.symbols = f.pos
	order, err := w.writeSymbols(f)
	if err != nil {
		return err
	}
	t.series = f.pos
	ids, err := w.writeSeries(f)
	if err != nil {
		return err
	}
	// Label indices are a part of the format that no reader uses any more: they are empty.
	t.labelIndices, t.postings = f.pos, f.pos
	lists, err := w.writePostings(f, order, ids)
	if err != nil {
		return err
	}
	t.labelTable, t.postingsTable = f.pos, f.pos
	if err := w.writeTable(f, order, lists); err != nil {
		return err
	}
	f.begin()
	for _, offset := range []uint64{t.symbols, t.series, t.labelIndices, t.labelTable, t.postings, t.postingsTable} {
		f.be64(offset)
	}
	f.checksum()
	if f.err == nil {
		f.err = f.w.Flush()
	}
	if f.err != nil {
		return fmt.Errorf("write index: %w", f.err)
	}
	return nil
}

// writeSymbols writes all strings sorted, turns the symbols of the pairs into positions in that order, and returns
// the pairs' numbers sorted by name and value.
func (w *Writer) writeSymbols(f *file) ([]uint32, error) {
	sorted := make([]uint32, len(w.strings))
	size := uint64(4)
	for i, s := range w.strings {
		sorted[i] = uint32(i)
		size += uint64(uvarintSize(uint64(len(s))) + len(s))
	}
	slices.SortFunc(sorted, func(a, b uint32) int { return cmp.Compare(w.strings[a], w.strings[b]) })
	if err := f.section("symbol table", size); err != nil {
		return nil, err
	}
	f.be32(uint32(len(sorted)))
	rank := make([]uint32, len(sorted))
	for i, s := range sorted {
		rank[s] = uint32(i)
		f.str(w.strings[s])
	}
	f.checksum()
	order := make([]uint32, len(w.pairSymbols))
	for i, key := range w.pairSymbols {
		w.pairSymbols[i] = uint64(rank[key>>32])<<32 | uint64(rank[uint32(key)])
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return cmp.Compare(w.pairSymbols[a], w.pairSymbols[b]) })
	// From here on strings are wanted by position.
	strings := make([]string, len(sorted))
	for i, s := range sorted {
		strings[i] = w.strings[s]
	}
	w.strings = strings
	return order, f.err
}

// writeSeries writes the spooled series and returns their ids.
func (w *Writer) writeSeries(f *file) ([]uint32, error) {
	ids := make([]uint32, 0, w.series)
	var b []byte
	err := w.eachSpooled(func(pairs []uint32, chunks []byte) error {
		f.pad(seriesAlign)
		if f.pos/seriesAlign > math.MaxUint32 {
			return errors.New("series take more than the 64 GiB that an index can hold")
		}
		ids = append(ids, uint32(f.pos/seriesAlign))
		b = binary.AppendUvarint(b[:0], uint64(len(pairs)))
		for _, p := range pairs {
			b = binary.AppendUvarint(b, w.pairSymbols[p]>>32)
			b = binary.AppendUvarint(b, uint64(uint32(w.pairSymbols[p])))
		}
		b = append(b, chunks...)
		f.uvarint(uint64(len(b)))
		f.begin()
		f.bytes(b...)
		f.checksum()
		return f.err
	})
	return ids, err
}

// eachSpooled calls f with the pairs and the encoded chunks of each series.
func (w *Writer) eachSpooled(f func(pairs []uint32, chunks []byte) error) error {
	if _, err := w.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read spooled series: %w", err)
	}
	r := bufio.NewReaderSize(w.file, 1<<16)
	var b []byte
	var pairs []uint32
	for range w.series {
		size, err := binary.ReadUvarint(r)
		if err != nil {
			return fmt.Errorf("read spooled series: %w", err)
		}
		b = slices.Grow(b[:0], int(size))[:size]
		if _, err := io.ReadFull(r, b); err != nil {
			return fmt.Errorf("read spooled series: %w", err)
		}
		d := decoder{b: b}
		pairs = pairs[:0]
		for range d.uvarint() {
			pairs = append(pairs, uint32(d.uvarint()))
		}
		if err := f(pairs, d.b); err != nil {
			return err
		}
	}
	return nil
}

// writePostings writes the list of all series and one for each pair, and returns where they are: at 0 the list of
// all, then those of the pairs in order.
func (w *Writer) writePostings(f *file, order, ids []uint32) ([]uint64, error) {
	lists := make([]uint64, 0, len(order)+1)
	lists = append(lists, f.pos)
	if err := f.postings(ids); err != nil {
		return nil, err
	}
	// next is, for pairs of the batch, the place of the next id.
	next := make([]uint32, len(w.pairSymbols))
	for len(order) > 0 {
		n, total := 0, uint32(0)
		for n < len(order) && (n == 0 || uint64(total)+uint64(w.pairCounts[order[n]]) <= maxBatch) {
			next[order[n]] = total
			total += w.pairCounts[order[n]]
			n++
		}
		batch, err := w.collect(order[:n], ids, next, total)
		if err != nil {
			return nil, err
		}
		for _, pair := range order[:n] {
			f.pad(4)
			lists = append(lists, f.pos)
			if err := f.postings(batch[:w.pairCounts[pair]]); err != nil {
				return nil, err
			}
			batch = batch[w.pairCounts[pair]:]
		}
		order = order[n:]
	}
	return lists, f.err
}

// collect reads the series once and returns the lists of the pairs in the batch, one after another.
func (w *Writer) collect(batch, ids, next []uint32, total uint32) ([]uint32, error) {
	wanted := make([]bool, len(next))
	for _, pair := range batch {
		wanted[pair] = true
	}
	out := make([]uint32, total)
	i := 0
	err := w.eachSpooled(func(pairs []uint32, _ []byte) error {
		for _, p := range pairs {
			if wanted[p] {
				out[next[p]] = ids[i]
				next[p]++
			}
		}
		i++
		return nil
	})
	return out, err
}

func (w *Writer) writeTable(f *file, order []uint32, lists []uint64) error {
	pair := func(i int) (name, value string) {
		if i == 0 {
			return "", ""
		}
		key := w.pairSymbols[order[i-1]]
		return w.strings[key>>32], w.strings[uint32(key)]
	}
	size := uint64(4)
	for i, offset := range lists {
		name, value := pair(i)
		size += uint64(1 + uvarintSize(uint64(len(name))) + len(name) +
			uvarintSize(uint64(len(value))) + len(value) + uvarintSize(offset))
	}
	if err := f.section("postings offset table", size); err != nil {
		return err
	}
	f.be32(uint32(len(lists)))
	for i, offset := range lists {
		name, value := pair(i)
		f.bytes(2)
		f.str(name)
		f.str(value)
		f.uvarint(offset)
	}
	f.checksum()
	return f.err
}
