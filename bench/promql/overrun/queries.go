package main

import (
	"fmt"
	"strings"
	"time"
)

// hostile is a query that takes long; with a step it is a range query over the last hour.
type hostile struct {
	name, query string
	step        time.Duration
}

// hostileQueries returns queries of every shape that grows without bound, in their text or over many series.
func hostileQueries() []hostile {
	many := func(n int, term, separator string) string {
		return strings.TrimSuffix(strings.Repeat(term+separator, n), separator)
	}
	alternatives := make([]string, 10_000)
	values := make([]string, len(alternatives))
	for i := range alternatives {
		alternatives[i], values[i] = fmt.Sprintf("job.*%d", i), fmt.Sprintf("10.0.%d.%d:9100", i/250, i%250)
	}
	all := []hostile{
		{name: "20,000 numbers", query: many(20_000, "1", " + ")},
		{name: "20,000 times", query: many(20_000, "time()", " + ")},
		{name: "20,000 selectors", query: many(20_000, "nothing", " + ")},
		{name: "10,000 rates", query: "sum(" + many(10_000, "rate(requests_total[5m])", ") + sum(") + ")"},
		{name: "10,000 or", query: many(10_000, "rate(requests_total[5m])", " or ")},
		{name: "10,000 and", query: many(10_000, "requests_total", " and ")},
		{name: "10,000 parentheses", query: strings.Repeat("(", 10_000) + "1" + strings.Repeat(")", 10_000)},
		{name: "1,900 calls", query: strings.Repeat("abs(", 1_900) + "requests_total" + strings.Repeat(")", 1_900)},
		{name: "1,900 sums", query: strings.Repeat("sum by (path,instance,job,code) (", 1_900) + "requests_total" + strings.Repeat(")", 1_900)},
		{name: "1 MB string", query: `label_replace(requests_total, "a", "` + strings.Repeat("x", 1<<20) + `", "", "")`},
		{name: "1 MB terms", query: many(1<<17, "y_total", "+")},
		{name: "1 MB labels", query: "sum by (" + many(1<<17, "instance", ",") + ") (requests_total)"},
		{name: "10,000 regexps", query: `requests_total{` + many(10_000, `job=~"j.*"`, ",") + `}`},
		{name: "10,000 different regexps", query: `requests_total{job=~"` + strings.Join(alternatives, `.*",job!~"`) + `"}`},
		{name: "regexp of 10,000", query: `requests_total{instance=~"` + strings.Join(alternatives, "|") + `"}`},
		{name: "values of 10,000", query: `requests_total{instance=~"` + strings.Join(values, "|") + `"}`},
		{name: "label_replace of 10,000", query: `label_replace(requests_total, "a", "$1", "instance", "(` + strings.Join(alternatives, "|") + `)")`},
		{name: "slow regexp", query: `requests_total{instance=~"(.*1.*)+(.*2.*)+(.*3.*)+9100"}`},
		{name: "200 subqueries", query: strings.Repeat("max_over_time(", 200) + "requests_total" + strings.Repeat("[10m:1s])", 200)},
		{name: "subquery of many steps", query: `max_over_time(rate(requests_total[5m])[1y:1s])`},
		{name: "subquery without series", query: `sum_over_time(vector(time())[100y:1ms])`},
		{name: "cross product", query: `requests_total * on (job) group_left sum by (job, instance) (requests_total)`},
		{name: "wide join", query: `requests_total * on (instance, path) group_left errors_total`},
		{name: "one to one", query: `requests_total / errors_total`},
		{name: "unless", query: `requests_total unless errors_total`},
		{name: "fill", query: `requests_total + fill(0) errors_total`},
		{name: "count_values", query: `count_values by (instance, path) ("v", requests_total)`},
		{name: "sort", query: `sort(requests_total)`},
		{name: "sort_by_label", query: `sort_by_label(requests_total, "instance")`},
		{name: "label_replace", query: `label_replace(requests_total, "a", "$1-$2", "instance", "(.*)[.](.*)")`},
		{name: "topk", query: `topk by (instance) (100000, requests_total)`},
		{name: "quantile", query: `quantile(0.9, requests_total)`},
		{name: "groups", query: `sum by (instance, path, code) (requests_total)`},
		{name: "5,000 matchers twice", query: `requests_total{zone!="` + strings.Join(values[:5000], `",zone!="`) + `"} and errors_total{zone!="` + strings.Join(values[5000:], `",zone!="`) + `"}`},
		{name: "10,000 notes", query: "quantile(" + many(10_000, "2, nothing)", " + quantile(")},
		{name: "info", query: `info(requests_total, {__name__=~".+"})`},
		{name: "names", query: `rate({__name__=~".+_total"}[5m])`},
		{name: "all", query: `{__name__=~".+"}`},
		{name: "matrix", query: `{__name__=~".+"}[1h]`},
	}
	for _, inner := range []string{
		"time() * 2", "vector(time())", "minute()", "exp(vector(time()))", "-vector(time())", "vector(time()) * 2", "vector(time()) > 5",
		"sum(vector(time()))", "quantile(0.5, vector(time()))", "topk(1, vector(time()))", `count_values("v", vector(time()))`,
		"vector(time()) + vector(1)", "vector(1) and vector(time())", "vector(1) or vector(time())", "absent(nothing)",
		"vector(scalar(vector(time())))", "quantile(time(), vector(1))", "histogram_quantile(time(), requests_total)",
		`histogram_quantiles(requests_total, "q", time())`, "timestamp(vector(1))", "round(vector(time()), 2)", "limit_ratio(0.5, vector(time()))",
		"max_of(time(), 2)", `label_replace(vector(time()), "a", "b", "", "")`, "sum(requests_total)", "requests_total",
		"quantile_over_time(0.5, requests_total[1h])", "mad_over_time(requests_total[1h])", "double_exponential_smoothing(requests_total[1h], 0.5, 0.5)",
		"predict_linear(requests_total[1h], 5)", "rate(requests_total[1h] smoothed)", "max_over_time(requests_total[1h])", "sum_over_time(requests_total[1h])",
	} {
		all = append(all, hostile{name: "steps of " + inner, query: "sum_over_time((" + inner + ")[180d:1s])"})
	}
	for _, f := range []string{
		"quantile_over_time(0.5, ", "mad_over_time(", "stddev_over_time(", "sum_over_time(", "avg_over_time(", "max_over_time(", "ts_of_max_over_time(",
		"rate(", "irate(", "deriv(", "changes(", "resets(", "last_over_time(", "count_over_time(", "absent_over_time(",
	} {
		all = append(all, hostile{name: f + "of steps", query: f + "(vector(time() % 17.3))[180d:1s])"})
		all = append(all, hostile{name: "range " + f + "of steps", query: f + "(vector(time() % 17.3))[7d:1s])", step: 10 * time.Second})
	}
	for _, h := range []hostile{
		{name: "range rate", query: `rate(requests_total[1h])`},
		{name: "range topk", query: `topk(1000, requests_total)`},
		{name: "range quantile", query: `quantile(0.9, requests_total)`},
		{name: "range groups", query: `sum by (instance, path, code) (requests_total)`},
		{name: "range join", query: `requests_total / errors_total`},
		{name: "range quantile_over_time", query: `quantile_over_time(0.9, requests_total[1h])`},
		{name: "range subquery", query: `max_over_time(rate(requests_total[5m])[1h:1s])`},
	} {
		h.step = 10 * time.Second
		all = append(all, h)
	}
	return all
}
