package promqltest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
)

// run appends all samples as one batch for each point in time, so that their order in the script does not matter.
func (l *load) run(ctx context.Context, store Storage) error {
	var entries []storage.Entry
	for _, s := range l.series {
		entries = append(entries, s.entries(l.step)...)
	}
	if l.nhcb {
		natives, err := customBuckets(entries)
		if err != nil {
			return err
		}
		entries = append(entries, natives...)
	}
	for i := range entries {
		if err := valid(&entries[i]); err != nil {
			return fmt.Errorf("%v at %d: %w", entries[i].Labels, entries[i].T, err)
		}
	}
	slices.SortStableFunc(entries, func(a, b storage.Entry) int { return cmp.Compare(a.T, b.T) })
	setHints(entries)
	app := store.Appender()
	outcomes := make([]storage.Outcome, len(entries))
	if err := app.Append(ctx, entries, outcomes); err != nil {
		return err
	}
	for i, out := range outcomes {
		if out.Err != nil {
			return fmt.Errorf("%v at %d: %w", entries[i].Labels, entries[i].T, out.Err)
		}
	}
	return app.Commit(ctx)
}

func (s *loadSeries) entries(step time.Duration) []storage.Entry {
	var entries []storage.Entry
	for i, v := range s.values {
		if v.Omitted {
			continue
		}
		e := storage.Entry{Labels: s.ls, T: int64(i) * step.Milliseconds(), V: v.Value}
		if v.Histogram != nil {
			e.FloatHistogram = v.Histogram.Copy()
		}
		if i < len(s.starts) && !s.starts[i].missing {
			e.ST = e.T + s.starts[i].offset.Milliseconds()
		}
		entries = append(entries, e)
	}
	return entries
}

// valid checks what storages need not check because others have done so before.
func valid(e *storage.Entry) error {
	if e.Labels.IsEmpty() {
		return errors.New("series without labels")
	}
	if e.FloatHistogram == nil {
		return nil
	}
	return e.FloatHistogram.Validate()
}

// baseName splits the name of a series of a classic histogram.
func baseName(name string) (base, suffix string) {
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		if base, ok := strings.CutSuffix(name, suffix); ok {
			return base, suffix
		}
	}
	return name, ""
}

// baseLabels are those of the histogram to which a series belongs.
func baseLabels(ls labels.Labels, base string) labels.Labels {
	return labels.NewBuilder(ls).Set(labels.MetricName, base).Del(labels.BucketLabel).Labels()
}
