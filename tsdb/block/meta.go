package block

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/narthex-io/narthex/tsdb/vfs"
)

const metaVersion = 1

// Meta describes a block: the content of its meta.json.
type Meta struct {
	ULID ulid.ULID `json:"ulid"`
	// MinTime and MaxTime bound the block's samples in milliseconds; MaxTime itself is outside.
	MinTime    int64      `json:"minTime"`
	MaxTime    int64      `json:"maxTime"`
	Stats      Stats      `json:"stats"`
	Compaction Compaction `json:"compaction"`
	Version    int        `json:"version"`
	// Extra are further keys, such as those that Thanos adds. They survive being read and written.
	Extra map[string]json.RawMessage `json:"-"`
}

// Stats count what a block holds.
type Stats struct {
	NumSamples          uint64 `json:"numSamples,omitempty"`
	NumFloatSamples     uint64 `json:"numFloatSamples,omitempty"`
	NumHistogramSamples uint64 `json:"numHistogramSamples,omitempty"`
	NumSeries           uint64 `json:"numSeries,omitempty"`
	NumChunks           uint64 `json:"numChunks,omitempty"`
	NumTombstones       uint64 `json:"numTombstones,omitempty"`
}

// Compaction tells where a block came from.
type Compaction struct {
	// Level is 1 for a block cut from the head, and grows with each merge.
	Level int `json:"level"`
	// Sources are the level 1 blocks whose samples are in this one, Parents the blocks it was merged from.
	Sources []ulid.ULID `json:"sources,omitempty"`
	Parents []Parent    `json:"parents,omitempty"`
	// Deletable says that the block was replaced and can be deleted, Failed that merging it failed.
	Deletable bool `json:"deletable,omitempty"`
	Failed    bool `json:"failed,omitempty"`
	// Hints are such as [HintOutOfOrder].
	Hints []string `json:"hints,omitempty"`
}

// Parent names a block that was merged.
type Parent struct {
	ULID    ulid.ULID `json:"ulid"`
	MinTime int64     `json:"minTime"`
	MaxTime int64     `json:"maxTime"`
}

// The hints mark blocks that were cut from a part of the head: from out-of-order samples, from series that had ended, or
// from series that somebody chose.
const (
	HintOutOfOrder     = "from-out-of-order"
	HintStaleSeries    = "from-stale-series"
	HintSelectedSeries = "from-selected-series"
)

// Partial reports whether the block says nothing about other samples of its time: one cut from all of the head means that
// the head is not needed any more up to the block's end.
func (c *Compaction) Partial() bool {
	return slices.ContainsFunc(c.Hints, func(hint string) bool {
		return hint == HintOutOfOrder || hint == HintStaleSeries || hint == HintSelectedSeries
	})
}

// MarshalJSON encodes the fields, and the extra keys behind them.
func (m Meta) MarshalJSON() ([]byte, error) {
	type fields Meta
	b, err := json.Marshal(fields(m))
	if err != nil || len(m.Extra) == 0 {
		return b, err
	}
	extra := maps.Clone(m.Extra)
	maps.DeleteFunc(extra, isMetaKey)
	if len(extra) == 0 {
		return b, nil
	}
	e, err := json.Marshal(extra)
	if err != nil {
		return nil, err
	}
	b[len(b)-1] = ','
	return append(b, e[1:]...), nil
}

// UnmarshalJSON decodes the fields, and collects the keys that are none of them.
func (m *Meta) UnmarshalJSON(b []byte) error {
	type fields Meta
	var f fields
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	if err := json.Unmarshal(b, &f.Extra); err != nil {
		return err
	}
	maps.DeleteFunc(f.Extra, isMetaKey)
	if len(f.Extra) == 0 {
		f.Extra = nil
	}
	*m = Meta(f)
	return nil
}

// isMetaKey reports whether a key stands for a field, for which encoding/json ignores case.
func isMetaKey(key string, _ json.RawMessage) bool {
	return slices.ContainsFunc([]string{"ulid", "minTime", "maxTime", "stats", "compaction", "version"}, func(field string) bool {
		return strings.EqualFold(field, key)
	})
}

// ReadMeta reads the meta.json of the block in dir.
func ReadMeta(dir string) (Meta, error) {
	name := filepath.Join(dir, metaFile)
	b, err := os.ReadFile(name)
	if err != nil {
		return Meta{}, fmt.Errorf("read block's description: %w", err)
	}
	var m Meta
	if err := json.Unmarshal(b, &m); err != nil {
		return Meta{}, fmt.Errorf("read %s: %w: %w", name, ErrCorrupt, err)
	}
	if m.Version != metaVersion {
		return Meta{}, fmt.Errorf("read %s: version %d is not supported, only %d", name, m.Version, metaVersion)
	}
	if m.MaxTime < m.MinTime {
		return Meta{}, fmt.Errorf("read %s: %w: it ends at %d before it begins at %d", name, ErrCorrupt, m.MaxTime, m.MinTime)
	}
	return m, nil
}

// WriteMeta replaces the meta.json of the block in dir, so that at each moment either the old or the new one is there.
func WriteMeta(fs vfs.FS, dir string, m Meta) error {
	m.Version = metaVersion
	b, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return fmt.Errorf("encode block's description: %w", err)
	}
	return vfs.Replace(fs, filepath.Join(dir, metaFile), b)
}
