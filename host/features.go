package host

import (
	"strings"

	"github.com/narthex-io/narthex/host/discovery"
	"github.com/narthex-io/narthex/host/template"
	"github.com/narthex-io/narthex/promql/parser"
)

// features says, in upstream's words, what a server can be asked for, by part, and whether this one has it.
func (h *Host) features() map[string]map[string]bool {
	o, q := &h.opts, &h.opts.Query
	return map[string]map[string]bool{
		"api": {
			"admin": o.EnableAdminAPI, "lifecycle": o.EnableLifecycle,
			"exclude_alerts": true, "label_values_match": true, "query_stats": true, "query_warnings": true,
			"time_range_labels": true, "time_range_series": true,
			"openapi_3.1": false, "openapi_3.2": false, "otlp_write_receiver": false, "remote_write_receiver": o.RemoteWrite.Receive,
			"search": false, "search_fuzz_alg_jarowinkler": false, "search_fuzz_alg_subsequence": false,
		},
		"otlp_receiver": {"delta_conversion": false, "native_delta_ingestion": false},
		"prometheus":    {"agent_mode": false, "auto_reload_config": o.AutoReload > 0, "server_mode": true, "stringlabels": true},
		"promql": {
			"at_modifier": true, "bool": true, "by": true, "duration_expr": true, "group_left": true, "group_right": true,
			"ignoring": true, "negative_offset": true, "offset": true, "on": true, "per_query_lookback_delta": true,
			"subqueries": true, "without": true,
			"anchored": q.EnableExtendedRangeSelectors, "smoothed": q.EnableExtendedRangeSelectors,
			"fill": q.EnableBinopFillModifiers, "fill_left": q.EnableBinopFillModifiers, "fill_right": q.EnableBinopFillModifiers,
			"delayed_name_removal": q.EnableDelayedNameRemoval, "per_step_stats": q.EnablePerStepStats,
			"type_and_unit_labels": q.EnableTypeAndUnitLabels,
		},
		"promql_functions": functionFeatures(q.EnableExperimentalFunctions),
		"promql_operators": operatorFeatures(q.EnableExperimentalFunctions),
		"rules": {
			"concurrent_rule_eval": o.Rules.Concurrency > 0, "keep_firing_for": true, "query_offset": true,
		},
		"scrape": {
			"extra_scrape_metrics": true, "start_timestamp_zero_ingestion": o.Scrape.StartZeros, "type_and_unit_labels": o.Scrape.TypeAndUnit,
		},
		"service_discovery_providers": h.discoveryFeatures(),
		"templating_functions":        named(template.Functions()),
		"tsdb": {
			"delayed_compaction": o.Storage.CutDelayPercent > 0, "exemplar_storage": o.Exemplars,
			"histograms_st_encoding": o.Storage.HistogramST, "isolation": true, "native_histograms": true,
			"st_storage": o.Storage.StartTimestamps, "use_uncached_io": false, "xor2_encoding": h.xor2(h.config.Load()),
		},
		"ui": {"ui_v2": false, "ui_v3": false},
	}
}

func functionFeatures(experimental bool) map[string]bool {
	all := map[string]bool{}
	for _, f := range parser.Functions() {
		all[f.Name] = experimental || !f.Experimental
	}
	return all
}

// operatorFeatures lists operators and aggregations.
func operatorFeatures(experimental bool) map[string]bool {
	const plain = "!= !~ % * + - / < </ <= == =~ > >/ >= @ ^ and atan2 or unless " +
		"avg bottomk count count_values group max min quantile stddev stdvar sum topk"
	all := named(strings.Fields(plain))
	all["limitk"], all["limit_ratio"] = experimental, experimental
	return all
}

// discoveryFeatures lists the discoveries that are known to be there: those of the plugins that were looked at.
func (h *Host) discoveryFeatures() map[string]bool {
	all := map[string]bool{"static": true}
	for _, p := range h.catalogue.Plugins() {
		for _, key := range p.Keys {
			if name, ok := strings.CutSuffix(key, discovery.KeySuffix); ok {
				all[name] = true
			}
		}
	}
	return all
}

// named says of each name that it is there.
func named(names []string) map[string]bool {
	all := make(map[string]bool, len(names))
	for _, name := range names {
		all[name] = true
	}
	return all
}
