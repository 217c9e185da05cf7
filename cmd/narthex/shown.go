package main

import (
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/narthex-io/narthex/tsdb"
)

// shownFlags returns all settings as upstream's API shows them: those that follow from others are filled in, and some that
// have no default there are nothing.
func shownFlags(v *values, external *url.URL) map[string]string {
	shown := v.all()
	for name, nothing := range map[string]string{
		"storage.tsdb.wal-segment-size":             "0B",
		"storage.tsdb.max-block-chunk-segment-size": "0B",
		"storage.agent.wal-segment-size":            "0B",
		"storage.agent.wal-truncate-frequency":      "0s",
	} {
		if v.isDefault(name) {
			shown[name] = nothing
		}
	}
	retention := v.duration("storage.tsdb.retention.time")
	if retention == 0 && v.bytes("storage.tsdb.retention.size") == 0 {
		retention = tsdb.DefaultRetentionTime
		shown["storage.tsdb.retention.time"] = model.Duration(retention).String()
	}
	if v.duration("storage.tsdb.max-block-duration") == 0 {
		longest := maxBlock
		if retention > 0 {
			longest = min(longest, retention/10)
		}
		shown["storage.tsdb.max-block-duration"] = model.Duration(longest).String()
	}
	if shown["storage.tsdb.wal-compression-type"] == "" {
		shown["storage.tsdb.wal-compression-type"] = string(tsdb.CompressionZstd)
	}
	prefix := v.text("web.route-prefix")
	if prefix == "" && external != nil {
		prefix = external.Path
	}
	shown["web.route-prefix"] = "/" + strings.Trim(prefix, "/")
	return shown
}

// maxBlock is the longest time span of a block.
const maxBlock = 31 * 24 * time.Hour
