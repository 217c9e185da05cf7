package tsdb

import (
	"encoding/json"
	"os"

	"github.com/oklog/ulid/v2"

	"github.com/narthex-io/narthex/tsdb/block"
)

// delayed returns which blocks wait for somebody else to upload them first: those of level 1 that are not in the file
// that the options name. While the file can't be read, all of level 1 wait.
func (db *DB) delayed(metas []block.Meta) func(block.Meta) bool {
	name := db.opts.DelayCompactFile
	if name == "" || len(metas) == 0 {
		return func(block.Meta) bool { return false }
	}
	var shipped struct {
		Uploaded []ulid.ULID `json:"uploaded"`
	}
	content, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(content, &shipped)
	}
	if err != nil {
		db.logger.Warn("Merging waits: cannot read which blocks are uploaded", "file", name, "err", err)
		shipped.Uploaded = nil
	}
	uploaded := make(map[ulid.ULID]bool, len(shipped.Uploaded))
	for _, id := range shipped.Uploaded {
		uploaded[id] = true
	}
	return func(m block.Meta) bool { return m.Compaction.Level <= 1 && !uploaded[m.ULID] }
}
