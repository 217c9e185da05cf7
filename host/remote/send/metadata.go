package send

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/narthex-io/narthex/host/remote/wire"
	"github.com/narthex-io/narthex/model/sample"
)

// Family is a metric family with its metadata, as targets declare it.
type Family struct {
	Name string
	sample.Metadata
}

// sendMetadata sends the metadata of all targets again and again, as 1.0 has it, until soft is done.
func (q *queue) sendMetadata(soft context.Context) {
	ticker := time.NewTicker(time.Duration(q.cfg.MetadataConfig.SendInterval))
	defer ticker.Stop()
	for {
		select {
		case <-soft.Done():
			return
		case <-ticker.C:
		}
		for part := range slices.Chunk(distinct(q.m.opts.Metadata()), q.cfg.MetadataConfig.MaxSamplesPerSend) {
			q.deliverMetadata(soft, part)
		}
	}
}

// distinct leaves out what occurs again.
func distinct(all []Family) []Family {
	seen := make(map[Family]bool, len(all))
	return slices.DeleteFunc(all, func(f Family) bool {
		again := seen[f]
		seen[f] = true
		return again
	})
}

func (q *queue) deliverMetadata(ctx context.Context, part []Family) {
	b := &body{data: s2.EncodeSnappy(nil, appendFamilies(nil, part))}
	err := q.retry(ctx, func(attempt int) error {
		begin := time.Now()
		_, err := q.client.Load().post(ctx, b, attempt, q.cfg.QueueConfig.RetryOnHTTP429)
		q.metrics.batchDuration.Observe(time.Since(begin).Seconds())
		return err
	}, func() { q.metrics.metadataRetried.Add(float64(len(part))) })
	if err != nil && ctx.Err() != nil {
		return // Whoever comes next sends it again.
	}
	if err != nil {
		q.metrics.metadataFailed.Add(float64(len(part)))
		if omitted, ok := q.refused.due(); ok {
			q.log.Error("metadata is not taken", "count", len(part), "err", err, "messages_left_out", omitted)
		}
		return
	}
	q.metrics.metadata.Add(float64(len(part)))
	q.metrics.metadataBytes.Add(float64(len(b.data)))
}

// appendFamilies appends a message of 1.0 with metadata alone.
func appendFamilies(dst []byte, all []Family) []byte {
	var one []byte
	for i := range all {
		f := &all[i]
		one = appendNumber(one[:0], 1<<3|varintField, wire.MetricTypeNumber(f.Type))
		for _, text := range []struct {
			field byte
			value string
		}{{2, f.Name}, {4, f.Help}, {5, f.Unit}} {
			if text.value != "" {
				one = appendText(one, text.field, text.value)
			}
		}
		dst = binary.AppendUvarint(append(dst, 3<<3|bytesField), uint64(len(one)))
		dst = append(dst, one...)
	}
	return dst
}
