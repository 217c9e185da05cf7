package promql_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// corners returns queries at the edges of what functions and operators take, where random queries seldom come.
func corners() []string {
	vectors := []string{`requests_total`, `temperature`, `native`, `{__name__=~"native|temperature"}`, `latency_seconds_bucket`, `nothing`}
	all := []string{
		`info(requests_total{instance="host0"}, {__name__="twin_info"})`, `info(requests_total{instance="host0"} offset -1h, {__name__=~"twin_.+"})`,
		`info(requests_total{instance="host0"} > 1e18 or requests_total{instance="host1"}, {__name__="twin_info"})`,
		`info(requests_total{instance="host0"} > 1e18 or requests_total{job="job0"}, {__name__="twin_info"})`,
		`sum by (job) (native) > bool fill_left (1) sum by (job) (temperature)`, `native + on (job) group_left () fill_left (1) sum by (job) (temperature)`,
		`sum by (job) (temperature) + on (job) group_right () fill_left (1) native`, `sum by (job) (temperature) + on (job) group_right () fill_right (1) native`,
		`native / on (job) group_left () fill (2) sum by (job) (native)`, `sum by (job) (native) != fill (2) sum by (job) (temperature)`,
		`sum by (job) (temperature) / fill (3) sum by (job) (native)`, `{__name__=~"native|temperature"} - on (job) group_left () fill_left (1) sum by (job) (native)`,
		`absent({job="a", job="b"})`, `absent({job="a", job=~"b"})`, `absent(x{job="a", instance!="b", zone=~"c"})`,
		`absent_over_time({__name__="x", job="a", job="a"}[1m])`, `absent(sum(nothing{job="a"}))`, `double_exponential_smoothing(native[5m], 2, 0.5)`,
		`histogram_quantiles(native, "q", 0.5, 0.5)`, `histogram_quantiles(latency_seconds_bucket, "q", NaN, 1, NaN)`, `histogram_quantiles(nothing, "q", 0.5, 0.5)`,
		`histogram_quantiles(native{instance="native0"}, "q", 0.5, time() / 6600)`, `quantile(scalar(temperature{instance="host1"}), requests_total)`,
	}
	each := func(templates ...string) {
		for _, template := range templates {
			for _, v := range vectors {
				all = append(all, strings.ReplaceAll(template, "$", v))
			}
		}
	}
	each(
		`topk(0, $)`, `topk(-1, $)`, `topk(0.9, $)`, `limitk(2, $)`, `limitk(-1, $)`, `limit_ratio(-0.5, $)`, `limit_ratio(-1, $)`, `limit_ratio(NaN, $)`, `topk(NaN, $)`,
		`topk(1e30, $)`, `quantile(-0.1, $)`, `quantile(1.1, $)`, `quantile(NaN, $)`, `quantile by (job) (scalar(job_info), $)`, `count_values("é\n", $)`,
		`count_values("", $)`, `count_values("job", $)`, `count_values by (job) ("job", $)`, `count_values without (job) ("job", $)`,
		`sort_by_label($, "nothing", "instance")`, `sort_by_label_desc($, "job")`, `sort_desc($)`, `label_join($, "", "-", "job")`, `label_join($, "job", "-")`,
		`label_join($, "__name__", "-", "job", "nothing")`, `label_replace($, "job", "", "job", ".*")`, `label_replace($, "é", "$1x", "job", "(.*)")`,
		`label_replace($, "a", "$0", "nothing", "")`, `label_replace($, "a", "x", "job", "(")`, `absent($)`, `absent_over_time($[1m])`,
		`histogram_fraction(NaN, 1, $)`, `histogram_fraction(-Inf, +Inf, $)`, `histogram_fraction(2, 1, $)`, `histogram_quantile(NaN, $)`,
		`histogram_quantile(1.5, $)`, `histogram_quantiles($, "job", 0.5, 0.9)`, `histogram_quantiles($, "q", -1, NaN)`, `histogram_avg($)`, `histogram_stddev($)`,
		`histogram_stdvar(rate($[5m]))`, `$ </ 1`, `$ >/ 1`, `$ </ -Inf`, `$ >/ NaN`, `1 </ $`, `$ ^ $`, `$ atan2 $`, `$ % 0`, `$ == bool $`, `$ != $`, `-$`, `+$`,
		`clamp($, 2, 1)`, `clamp($, NaN, 1)`, `round($, 0)`, `round($, -1)`, `mad_over_time($[5m])`, `first_over_time($[5m])`, `ts_of_first_over_time($[5m])`,
		`ts_of_max_over_time($[5m])`, `ts_of_min_over_time($[5m:20s])`, `double_exponential_smoothing($[5m], 0, 0.5)`, `double_exponential_smoothing($[5m], 0.5, 1)`,
		`double_exponential_smoothing($[5m], 0.1, 0.9)`, `predict_linear($[5m], -3600)`, `predict_linear($[20s], NaN)`, `quantile_over_time(2, $[5m])`,
		`quantile_over_time(NaN, $[5m])`, `stddev_over_time($[1s])`, `deriv($[16s])`, `irate($[16s])`, `idelta($[31s])`, `changes($[5m] offset -1m)`,
		`resets($[5m] @ end() offset -2m)`, `sum_over_time($[5m:step()])`, `sum_over_time($[range() + 1m:1m])`, `max_over_time(($ @ start())[3m:1m])`,
		`last_over_time($[5m:1m] @ 1800 offset -1m)`, `$[5m - 5m]`, `rate($[-5m])`, `rate($[5m / 0])`, `rate($[step() * 2 + 1s])`, `$ offset (step() - 1m)`,
		`rate($[5m] anchored)`, `increase($[5m] smoothed)`, `changes($[5m] anchored)`, `sum_over_time($[5m] anchored)`, `$ smoothed`, `delta($[1m] smoothed offset -30s)`,
		`$ + on (job) group_left () job_info`, `$ + fill (0) $`, `$ + fill_left (NaN) temperature`, `$ * on (job, instance) fill_right (-1) requests_total`,
		`$ and fill (0) $`, `group without () ($)`, `group by (l, l) ($)`, `stdvar by (job) ($)`, `avg($)`, `sum by (job) ($)`, `min($)`, `max by (job) ($)`,
		`scalar($)`, `vector(scalar($))`, `timestamp($ offset 1m)`, `timestamp(-$)`, `start_timestamp($)`, `day_of_week($)`, `days_in_month($)`, `info($, {job="x"})`,
		`sum(histogram_count($))`, `$ == on () group_left () scalar(1)`, `$ or on (job) vector(1)`, `$ unless ignoring (instance) $`, `max_of($, 1)`, `count($ > bool 1)`,
		`sum_over_time(abs($)[5m:])`, `rate(sum($)[5m:30s])`, `present_over_time($[5m:7m])`, `sgn($)`, `exp($)`, `sum by (job) ($ * NaN)`, `min($ / 0)`, `avg_over_time($[17m])`,
	)
	return all
}

// TestCorners asks both engines all of them, once for one step and once for several, under some combinations of features.
func TestCorners(t *testing.T) {
	for _, on := range []features{{}, {delayedNames: true, starts: true}, {typesAndUnits: true}} {
		r := rand.New(rand.NewPCG(9, 0))
		data := slices.Concat(mixture(r, 240), infos(r, 240), natives(r, 240))
		if on.typesAndUnits {
			data = withTypes(r, data)
		}
		if on.starts {
			data = withStarts(r, data)
		}
		e := newEngines(t, append(data, twins(240)...), on)
		end := time.UnixMilli(220 * interval)
		start, step := end.Add(-17*time.Minute), 97*time.Second
		for _, query := range corners() {
			if err := difference(e.oursInstant(t, query, end), e.upstreamInstant(t, query, end)); err != nil {
				t.Errorf("%+v: %s: %v", on, query, err)
			}
			if err := difference(e.oursRange(t, query, start, end, step), e.upstreamRange(t, query, start, end, step)); err != nil {
				t.Errorf("%+v: %s in a range: %v", on, query, err)
			}
		}
	}
}
