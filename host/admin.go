package host

import (
	"context"
	"path/filepath"

	"github.com/narthex-io/narthex/host/web/api"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/tsdb"
)

// admin returns what the administration endpoints act on, nil if they are not enabled.
func (h *Host) admin() api.Admin {
	if !h.opts.EnableAdminAPI {
		return nil
	}
	return &admin{storage: &h.storage, dir: filepath.Join(h.opts.Storage.Dir, "snapshots")}
}

// admin is the storage as administrators see it. The storage that is closed meanwhile answers with an error.
type admin struct {
	storage *gate
	// dir is the folder of the snapshots.
	dir string
}

func (a *admin) Delete(ctx context.Context, mint, maxt int64, matchers ...*labels.Matcher) error {
	return a.do(func(db *tsdb.DB) error { return db.Delete(ctx, mint, maxt, matchers...) })
}

func (a *admin) CleanTombstones(ctx context.Context) error {
	return a.do(func(db *tsdb.DB) error { return db.CleanTombstones(ctx) })
}

func (a *admin) Snapshot(ctx context.Context, name string, withHead bool) error {
	return a.do(func(db *tsdb.DB) error { return db.Snapshot(ctx, filepath.Join(a.dir, name), withHead) })
}

func (a *admin) do(f func(*tsdb.DB) error) error {
	db := a.storage.get()
	if db == nil {
		return errNotOpen
	}
	return f(db)
}

// blocks describes the blocks of the storage, if it is open.
func (g *gate) blocks() []tsdb.BlockMeta {
	if db := g.get(); db != nil {
		return db.Blocks()
	}
	return []tsdb.BlockMeta{}
}

// status describes what is in memory, if the storage is open.
func (g *gate) status(limit int) api.TSDBStatus {
	db := g.get()
	if db == nil {
		return api.TSDBStatus{}
	}
	head, c := db.HeadStats(), db.Cardinality(limit)
	return api.TSDBStatus{
		HeadStats: api.TSDBHeadStats{
			NumSeries: head.Series, NumLabelPairs: c.LabelPairs, ChunkCount: head.Chunks, MinTime: head.MinTime, MaxTime: head.MaxTime,
		},
		SeriesCountByMetricName:     stats(c.SeriesByMetric),
		LabelValueCountByLabelName:  stats(c.ValuesByLabel),
		MemoryInBytesByLabelName:    stats(c.BytesByLabel),
		SeriesCountByLabelValuePair: stats(c.SeriesByPair),
	}
}

func stats(counts []tsdb.Count) []api.TSDBStat {
	all := make([]api.TSDBStat, len(counts))
	for i, c := range counts {
		all[i] = api.TSDBStat{Name: c.Name, Value: c.Count}
	}
	return all
}
