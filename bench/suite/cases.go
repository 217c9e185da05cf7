package suite

// Case is a question. Aggregates says that few series come out of many, so that little memory is needed.
type Case struct {
	Query      string
	Aggregates bool
	// Native says that native histograms are asked for.
	Native bool
}

// Cases are what is measured.
func Cases() []Case {
	return []Case{
		{Query: `requests_total`},
		{Query: `requests_total{path=~"/api/v1/path[12]|.*7", instance=~"10.0.*"}`},
		{Query: `rate(requests_total[5m])`},
		{Query: `sum(rate(requests_total[5m]))`, Aggregates: true},
		{Query: `sum by (job) (rate(requests_total[5m]))`, Aggregates: true},
		{Query: `sum by (instance, job, path) (rate(requests_total[5m]))`},
		{Query: `avg by (zone) (temperature)`, Aggregates: true},
		{Query: `count by (instance) (requests_total)`, Aggregates: true},
		{Query: `count(count by (instance, path) (requests_total))`, Aggregates: true},
		{Query: `quantile by (job) (0.9, temperature)`, Aggregates: true},
		{Query: `topk(5, temperature)`, Aggregates: true},
		{Query: `topk by (job) (3, rate(requests_total[5m]))`, Aggregates: true},
		{Query: `histogram_quantile(0.9, sum by (le) (rate(latency_seconds_bucket[5m])))`, Aggregates: true},
		{Query: `histogram_quantile(0.9, rate(latency_seconds_bucket[5m]))`},
		{Query: `sum_over_time(temperature[1h])`},
		{Query: `avg_over_time(temperature[1h])`},
		{Query: `max_over_time(temperature[1h])`},
		{Query: `stddev_over_time(temperature[1h])`},
		{Query: `quantile_over_time(0.9, temperature[1h])`},
		{Query: `max by (job) (sum_over_time(temperature[1h]))`, Aggregates: true},
		{Query: `requests_total * on (job) group_left (team) job_info`},
		{Query: `sum by (team) (rate(requests_total[5m]) * on (job) group_left (team) job_info)`, Aggregates: true},
		{Query: `errors_total / requests_total`},
		{Query: `rate(errors_total[5m]) / rate(requests_total[5m])`},
		{Query: `errors_total{zone="a"} / requests_total`},
		{Query: `sum(rate(requests_total{code="500"}[5m])) / sum(rate(requests_total[5m]))`, Aggregates: true},
		{Query: `temperature > 20`},
		{Query: `temperature - temperature offset 10m`},
		{Query: `requests_total and errors_total`},
		{Query: `errors_total unless on (instance) (temperature > 25)`},
		{Query: `max_over_time(rate(requests_total[5m])[30m:1m])`},
		{Query: `max_over_time(sum by (job) (rate(requests_total[5m]))[30m:1m])`, Aggregates: true},
		{Query: `label_replace(requests_total, "host", "$1", "instance", "(.*):.*")`},
		{Query: `sum by (job) (rate(latency_native[5m]))`, Aggregates: true, Native: true},
		{Query: `histogram_quantile(0.9, sum(rate(latency_native[5m])))`, Aggregates: true, Native: true},
		{Query: `histogram_count(rate(latency_native[5m]))`, Native: true},
	}
}
