package promql

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"time"
	"unicode/utf8"
)

// ActiveLog keeps the running queries in a file, so that after a crash the next start can tell which ones they were. It
// has Prometheus's format: "[", and for each place a JSON object, padded with zero bytes to 999 and followed by a comma,
// or 1,000 zero bytes if no query runs there.
type ActiveLog struct {
	file   *os.File
	places int
	// entries are the buffers of what is written, one for each place, which one query at a time uses, and an empty one
	// after them.
	entries []byte
}

const (
	entryBytes = 1000
	// maxLogged is the number of places that have an entry; queries on others are not logged.
	maxLogged = 10_000
)

// entry is a query in the file.
type entry struct {
	Query        string `json:"query"`
	TimestampSec int64  `json:"timestamp_sec"`
}

// OpenActiveLog logs the queries that it finds in an old file, and replaces the file by a new one for an engine with that
// many places. The caller closes the log after the last query.
func OpenActiveLog(path string, places int, log *slog.Logger) (*ActiveLog, error) {
	if unfinished, err := readUnfinished(path); err != nil {
		log.Warn("queries of the last run are not known", "err", err)
	} else if len(unfinished) > 0 {
		text, err := json.Marshal(unfinished)
		if err != nil {
			return nil, fmt.Errorf("encode the queries of the last run: %w", err)
		}
		log.Info("queries were running when the server was killed", "queries", string(text))
	}
	l := &ActiveLog{places: min(places, maxLogged)}
	var err error
	if l.file, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o666); err != nil {
		return nil, fmt.Errorf("create the log of active queries: %w", err)
	}
	l.entries = make([]byte, (l.places+1)*entryBytes)
	// All space is taken at once, so that entries can be written even when the disk is full.
	if _, err = l.file.Write(append([]byte("["), l.entries[:l.places*entryBytes]...)); err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write the log of active queries: %w", err), l.file.Close())
	}
	return l, nil
}

// readUnfinished returns the entries of a file, none if there is no file. Damaged ones are left out.
func readUnfinished(path string) ([]entry, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the log of active queries: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, 1+maxLogged*entryBytes))
	if err != nil {
		return nil, fmt.Errorf("read the log of active queries: %w", err)
	}
	return parseUnfinished(content), nil
}

func parseUnfinished(content []byte) []entry {
	var found []entry
	for content = bytes.TrimPrefix(content, []byte("[")); len(content) > 0; {
		piece := content[:min(entryBytes, len(content))]
		content = content[len(piece):]
		var e entry
		if json.Unmarshal(bytes.TrimRight(piece, ",\x00"), &e) == nil {
			found = append(found, e)
		}
	}
	return found
}

// begin writes the entry of a place.
func (l *ActiveLog) begin(place int, query string, now time.Time) error {
	if place >= l.places {
		return nil
	}
	e := l.entry(place)
	n := len(appendEntry(e[:0], query, now))
	clear(e[n:])
	e[entryBytes-1] = ','
	return l.write(place, e)
}

// end clears the entry of a place.
func (l *ActiveLog) end(place int) error {
	if place >= l.places {
		return nil
	}
	return l.write(place, l.entry(l.places))
}

func (l *ActiveLog) entry(place int) []byte {
	return l.entries[place*entryBytes : (place+1)*entryBytes : (place+1)*entryBytes]
}

func (l *ActiveLog) write(place int, e []byte) error {
	if _, err := l.file.WriteAt(e, 1+int64(place)*entryBytes); err != nil {
		return fmt.Errorf("write the log of active queries: %w", err)
	}
	return nil
}

// appendEntry appends an entry of less than entryBytes to an empty slice that has room for it. A long query is cut off.
func appendEntry(to []byte, query string, now time.Time) []byte {
	if len(query) < entryBytes-100 && isPlain(query) { // Fast path: see BenchmarkLeastQuery.
		to = append(append(to, `{"query":"`...), query...)
		to = strconv.AppendInt(append(to, `","timestamp_sec":`...), now.Unix(), 10)
		return append(to, '}')
	}
	for limit := entryBytes; ; limit -= limit/8 + 1 {
		e, err := json.Marshal(entry{cut(query, limit), now.Unix()})
		if err == nil && len(e) < entryBytes || limit <= 0 {
			return append(to, e...)
		}
	}
}

// isPlain reports whether a text is its own JSON.
func isPlain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

// cut returns the beginning of a text, of limit bytes at most.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	limit = max(limit, 0)
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// Close closes the file.
func (l *ActiveLog) Close() error {
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("close the log of active queries: %w", err)
	}
	return nil
}
