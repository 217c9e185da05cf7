package main

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/narthex-io/narthex/host/scrape"
	"github.com/narthex-io/narthex/promql"
)

// features are what --enable-feature turns on.
type features struct {
	query  *promql.Options
	scrape scrape.Features
	// exemplars is exemplar-storage.
	exemplars bool
	// concurrentRules is concurrent-rule-eval.
	concurrentRules bool
	// delayedCuts is delayed-compaction.
	delayedCuts bool
	// xor2 is xor2-encoding, histogramST histograms-st-encoding, starts st-storage.
	xor2, histogramST, starts bool
}

// enable sets what --enable-feature names. A feature of a part that this version lacks is an error; names that
// mean nothing any more, or never did, are logged.
func (f *features) enable(lists []string, log *slog.Logger) error {
	for _, list := range lists {
		for name := range strings.SplitSeq(list, ",") {
			switch name = strings.TrimSpace(name); name {
			case "":
			case "promql-experimental-functions":
				f.query.EnableExperimentalFunctions = true
			case "promql-delayed-name-removal":
				f.query.EnableDelayedNameRemoval = true
			case "promql-per-step-stats":
				f.query.EnablePerStepStats = true
			case "promql-binop-fill-modifiers":
				f.query.EnableBinopFillModifiers = true
			case "promql-extended-range-selectors":
				f.query.EnableExtendedRangeSelectors = true
			case "created-timestamp-zero-ingestion":
				f.scrape.StartZeros = true
			case "type-and-unit-labels":
				f.scrape.TypeAndUnit = true
				f.query.EnableTypeAndUnitLabels = true
			case "use-start-timestamps":
				f.query.EnableStartTimestamps = true
			case "metadata-wal-records":
				f.scrape.Metadata = true
			case "extra-scrape-metrics":
				f.scrape.ExtraMetrics = true
				log.Warn("feature is deprecated: set extra_scrape_metrics in the configuration", "feature", name)
			case "zstd-scrape":
				f.scrape.Zstd = true
			case "exemplar-storage":
				f.exemplars = true
			case "xor2-encoding":
				f.xor2 = true
				log.Warn("feature is being phased out: set storage.tsdb.chunk_encoding.floats to xor2 in the configuration", "feature", name)
			case "histograms-st-encoding":
				f.histogramST = true
			case "st-storage":
				f.starts, f.xor2, f.histogramST, f.scrape.StartTimes = true, true, true, true
			case "delayed-compaction":
				f.delayedCuts = true
			case "concurrent-rule-eval":
				f.concurrentRules = true
			case "promql-duration-expr", "native-histograms", "ooo-native-histograms":
				log.Info("feature is always on", "feature", name)
			case "auto-reload-config":
				return fmt.Errorf("--enable-feature: %s has become the flag --config.auto-reload", name)
			case "fast-startup", "memory-snapshot-on-shutdown",
				"old-ui", "otlp-deltatocumulative", "otlp-native-delta-ingestion",
				"search-api", "st-synthesis", "use-uncached-io":
				return fmt.Errorf("--enable-feature: this version does not have %s yet: remove it", name)
			default:
				log.Warn("unknown option for --enable-feature", "option", name)
			}
		}
	}
	return nil
}
