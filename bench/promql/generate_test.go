package promql_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

func pick(r *rand.Rand, choices ...string) string { return choices[r.IntN(len(choices))] }

// randomQuery returns a query over the mixture of series. Most have an answer.
func randomQuery(r *rand.Rand) string {
	if r.IntN(50) == 0 {
		return selector(r) + "[" + pick(r, "20s", "1m", "5m") + "]" + pick(r, "", " anchored", " smoothed") + modifiers(r)
	}
	return vector(r, 3)
}

func vector(r *rand.Rand, depth int) string {
	if depth == 0 {
		return selector(r) + modifiers(r)
	}
	switch r.IntN(16) {
	case 0:
		if r.IntN(4) == 0 {
			// Not with @ and offset together: upstream then asks the storage for another time than it looks at.
			return fmt.Sprintf("timestamp(%s)", selector(r))
		}
		return selector(r) + modifiers(r)
	case 1, 2, 3:
		return overTime(r, depth)
	case 4, 5, 6:
		return aggregation(r, depth)
	case 7:
		return fmt.Sprintf("%s(%s)", pick(r, "abs", "ceil", "floor", "exp", "ln", "sqrt", "sgn", "-", "minute", "day_of_year", "absent", "sort", "cos"), vector(r, depth-1))
	case 8:
		return strings.Replace(pick(r, "clamp(%s, -1, 50)", "clamp_max(%s, 3)", "clamp_min(%s, scalar(sum(temperature)))", "round(%s, 5)", "round(%s)"), "%s", vector(r, depth-1), 1)
	case 9:
		return fmt.Sprintf("histogram_quantile(%s, %s)", scalar(r), pick(r,
			"sum by (le) (rate(latency_seconds_bucket[5m]))", "rate(latency_seconds_bucket[3m])", "latency_seconds_bucket"))
	case 10:
		return fmt.Sprintf(`label_replace(%s, "%s", "x$1", "%s", "(.*)[02]?")`, vector(r, depth-1), pick(r, "job", "new", "__name__"), pick(r, "job", "instance", "nothing"))
	case 11:
		return fmt.Sprintf("(%s %s %s)", vector(r, depth-1), arithmetic(r), scalar(r))
	case 12:
		return fmt.Sprintf("(%s %s %s)", scalar(r), arithmetic(r), vector(r, depth-1))
	case 13:
		return extended(r, selector(r))
	case 14:
		return fmt.Sprintf("info(%s%s)", vector(r, depth-1), pick(r, "", "", `, {version=~".+"}`, `, {version="v1", zone=~".*"}`,
			`, {__name__="build_info"}`, `, {__name__=~"(build|target)_info"}`, `, {__name__!="target_info"}`, `, {__name__=~".+_info", branch="b1"}`))
	default:
		return join(r, depth)
	}
}

func selector(r *rand.Rand) string {
	return pick(r, "requests_total", "temperature", "latency_seconds_bucket", "job_info", `{job="job1"}`, `requests_total{zone="a"}`,
		`{__name__=~"requests_total|temperature"}`, `temperature{instance=~"host[1-4]"}`, "nothing", `requests_total{job!~"job[12]"}`)
}

func modifiers(r *rand.Rand) string {
	return pick(r, "", "", "", "", "", " offset 2m", " offset -1m", " @ 1800", " @ start()", " @ end() offset 1m")
}

// extended returns a query with an anchored or smoothed selector.
func extended(r *rand.Rand, selector string) string {
	window := selector + "[" + pick(r, "20s", "1m", "5m", "12m") + "]"
	switch r.IntN(6) {
	case 0:
		return selector + " smoothed" + modifiers(r)
	case 1, 2:
		return fmt.Sprintf("%s(%s smoothed%s)", pick(r, "rate", "increase", "delta"), window, modifiers(r))
	case 3:
		return fmt.Sprintf("%s(%s%s anchored)", pick(r, "changes", "resets"), window, modifiers(r))
	}
	return fmt.Sprintf("%s(%s%s anchored)", pick(r, "rate", "increase", "delta", "deriv"), window, modifiers(r))
}

func overTime(r *rand.Rand, depth int) string {
	function := pick(r, "rate", "increase", "delta", "irate", "idelta", "sum_over_time", "avg_over_time", "min_over_time",
		"max_over_time", "count_over_time", "last_over_time", "first_over_time", "present_over_time", "stddev_over_time",
		"stdvar_over_time", "changes", "resets", "deriv", "absent_over_time", "mad_over_time")
	arg := selector(r) + "[" + pick(r, "30s", "1m", "3m", "5m", "17m") + "]" + modifiers(r)
	if r.IntN(4) == 0 {
		arg = vector(r, depth-1) + "[" + pick(r, "3m", "10m") + ":" + pick(r, "", "30s", "1m", "47s") + "]" + modifiers(r)
		if strings.HasPrefix(arg, "-") || strings.Contains(arg, " offset ") || strings.Contains(arg, " @ ") {
			arg = "(" + selector(r) + ")[5m:30s]"
		}
	}
	switch r.IntN(12) {
	case 0:
		return fmt.Sprintf("quantile_over_time(%s, %s)", scalar(r), arg)
	case 1:
		return fmt.Sprintf("predict_linear(%s, %s)", arg, scalar(r))
	}
	return fmt.Sprintf("%s(%s)", function, arg)
}

func aggregation(r *rand.Rand, depth int) string {
	group := pick(r, "", "", " by (job)", " by (job, zone)", " without (instance)", " by (nothing)", " without (job, zone)", " by (__name__)")
	child := vector(r, depth-1)
	switch r.IntN(8) {
	case 0:
		// Which of several equals is taken is up to the engine, so there must not be any.
		unique := pick(r, "requests_total", "rate(requests_total[5m])", "avg by (instance, job) (requests_total)")
		return fmt.Sprintf("%s%s (%d, %s)", pick(r, "topk", "bottomk"), group, r.IntN(4), unique)
	case 1:
		return fmt.Sprintf("quantile%s (%s, %s)", group, scalar(r), child)
	case 2:
		return fmt.Sprintf(`count_values%s ("v", round(%s))`, group, child)
	case 3:
		return fmt.Sprintf("limit_ratio%s (%s, %s)", group, pick(r, "0.5", "-0.3", "1"), child)
	}
	return fmt.Sprintf("%s%s (%s)", pick(r, "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"), group, child)
}

func arithmetic(r *rand.Rand) string {
	return pick(r, "+", "-", "*", "/", "%", "^", "atan2", ">", "<", ">=", "<=", "==", "!=", "> bool", "== bool")
}

func scalar(r *rand.Rand) string {
	return pick(r, "0.5", "2", "0.9", "-1", "1e3", "(time() % 100)", "scalar(job_info{job=\"job1\"})", "pi()")
}

func join(r *rand.Rand, depth int) string {
	l, m := vector(r, depth-1), vector(r, depth-1)
	switch r.IntN(7) {
	case 5:
		return fmt.Sprintf("(sum by (job) (%s) %s %s sum by (job) (%s))", l, pick(r, "+", "-", "*", "> bool", "<"),
			pick(r, "fill (0)", "fill_left (1)", "fill_right (-1)", "fill_left (2) fill_right (3)"), m)
	case 0:
		return fmt.Sprintf("(%s %s %s)", l, pick(r, "and", "or", "unless"), m)
	case 1:
		return fmt.Sprintf("(%s %s on (job) %s)", l, pick(r, "and", "or", "unless"), m)
	case 2:
		return fmt.Sprintf("(%s %s on (job) group_left (team) job_info)", l, arithmetic(r))
	case 3:
		return fmt.Sprintf("(sum by (job) (%s) %s sum by (job) (%s))", l, arithmetic(r), m)
	case 4:
		return fmt.Sprintf("(%s %s ignoring (zone, instance) %s)", l, arithmetic(r), m)
	}
	return fmt.Sprintf("(%s %s %s)", l, arithmetic(r), m)
}

// nativeQuery returns a query over native histograms.
func nativeQuery(r *rand.Rand) string {
	v := nativeVector(r, 2)
	switch r.IntN(8) {
	case 0:
		// Not of negative counts: the answer then depends on which empty buckets a histogram has.
		return fmt.Sprintf("histogram_quantile(%s, %s)", scalar(r), strings.TrimPrefix(v, "-"))
	case 1:
		return fmt.Sprintf("histogram_fraction(%s, 2, %s)", pick(r, "0", "-1", "0.3"), v)
	case 2:
		return fmt.Sprintf("%s(%s)", pick(r, "histogram_count", "histogram_sum", "histogram_avg", "histogram_stddev", "histogram_stdvar"), v)
	case 3:
		return fmt.Sprintf("%s(native[%s])", pick(r, "changes", "resets", "count_over_time", "max_over_time", "stddev_over_time"), pick(r, "1m", "5m"))
	case 4:
		return fmt.Sprintf("%s(%s)", pick(r, "max", "count", "stddev", "group", "abs"), strings.TrimPrefix(v, "-"))
	}
	return v
}

func nativeVector(r *rand.Rand, depth int) string {
	name := pick(r, "native", "native", `native{instance=~"native[89]"}`, `native{instance=~"native[0-6]"}`, `native{job="job1"}`)
	if depth == 0 {
		return name
	}
	switch r.IntN(8) {
	case 0:
		if r.IntN(2) == 0 {
			return extended(r, name)
		}
		return name + modifiers(r)
	case 1, 2:
		return fmt.Sprintf("%s(%s[%s])", pick(r, "rate", "increase", "delta", "irate", "idelta", "sum_over_time", "avg_over_time", "last_over_time", "first_over_time"), name, pick(r, "30s", "1m", "5m"))
	case 3, 4:
		return fmt.Sprintf("%s%s (%s)", pick(r, "sum", "avg"), pick(r, "", " by (job)", " without (instance)"), nativeVector(r, depth-1))
	case 5:
		return fmt.Sprintf("(%s %s %s)", nativeVector(r, depth-1), pick(r, "*", "/", "+", "</", ">/", "=="), scalar(r))
	case 6:
		return fmt.Sprintf("(%s %s %s)", nativeVector(r, depth-1), pick(r, "+", "-", "==", "!=", "*", "and", "or"), nativeVector(r, depth-1))
	}
	return fmt.Sprintf("-(%s)", nativeVector(r, depth-1))
}
