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
	switch r.IntN(18) {
	case 16:
		return experimental(r, depth)
	case 17:
		return special(r, depth)
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
		return fmt.Sprintf("%s(%s)", pick(r, "abs", "exp", "ln", "sqrt", "sgn", "-", "minute", "day_of_year", "absent", "sort", "cos"), vector(r, depth-1))
	case 8:
		return strings.Replace(pick(r, "clamp(%s, -1, 50)", "clamp_max(%s, 3)", "clamp_min(%s, scalar(sum(temperature)))", "round(%s + 0.123, 5)", "round(%s + 0.123)", "ceil(%s + 0.123)", "floor(%s + 0.123)"), "%s", vector(r, depth-1), 1)
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
		`{__name__=~"requests_total|temperature"}`, `temperature{instance=~"host[1-4]"}`, "nothing", `requests_total{job!~"job[12]"}`,
		`{"température.moyenne"}`, `{"température.moyenne", "l'étage"="1"}`, `{__name__=~"temp.*", zone=""}`)
}

func modifiers(r *rand.Rand) string {
	return pick(r, "", "", "", "", "", " offset 2m", " offset -1m", " @ 1800", " @ start()", " @ end() offset 1m", " offset (1m + step())",
		" offset -(2 * 30)", " offset 30s @ 2000.5")
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
	arg := selector(r) + "[" + pick(r, "30s", "1m", "3m", "5m", "17m", "1m * 2", "step() + 1m", "min_of(5m, range() + 30s)") + "]" + modifiers(r)
	if r.IntN(4) == 0 {
		inner := vector(r, depth-1)
		if strings.Contains(inner, "std") {
			// Errors of rounding, which differ, are no steps of a counter.
			function = pick(r, "min_over_time", "max_over_time", "count_over_time", "last_over_time", "absent_over_time")
		}
		if strings.HasSuffix(function, "st_over_time") && strings.Contains(inner, "info(") {
			function = "max_over_time" // Upstream's first and last leave out types and units that info() has put back.
		}
		arg = "(" + inner + ")[" + pick(r, "3m", "10m", "2m + 1m", "max_of(step(), 4m)") + ":" + pick(r, "", "30s", "1m", "47s", "step() + 1") + "]"
		switch {
		case !strings.Contains(inner, " @ "):
			arg += modifiers(r)
		case r.IntN(2) == 0:
			// Not @ around a subquery with @: upstream then evaluates some of its steps alone, and looks at others. Nor an
			// offset to the future: if the first step is that of the query, upstream moves what @ says by it.
			arg += " offset 2m"
		}
	}
	switch r.IntN(12) {
	case 0:
		// Not what changes together with @ at a subquery: upstream then evaluates it for later times, too, and tells what
		// it finds there. The same below.
		phi := scalar(r)
		if strings.Contains(arg, ":") && strings.Contains(arg, " @ ") {
			phi = pick(r, "0.5", "0.9", "-1", "2")
		}
		return fmt.Sprintf("quantile_over_time(%s, %s)", phi, arg)
	case 1:
		return fmt.Sprintf("predict_linear(%s[5m]%s, %s)", selector(r), modifiers(r), scalar(r))
	}
	return fmt.Sprintf("%s(%s)", function, arg)
}

func aggregation(r *rand.Rand, depth int) string {
	group := pick(r, "", "", " by (job)", " by (job, zone)", " without (instance)", " by (nothing)", " without (job, zone)", " by (__name__)")
	child := vector(r, depth-1)
	switch r.IntN(8) {
	case 0:
		// Which of several equals is taken is up to the engine, so there must not be any.
		unique := pick(r, "requests_total", "rate(requests_total[5m])", "avg by (instance, job) (requests_total)",
			`(requests_total or temperature{instance="host1"})`) // The last has NaN and infinity at times.
		return fmt.Sprintf("%s%s (%d, %s)", pick(r, "topk", "bottomk"), group, r.IntN(4), unique)
	case 1:
		return fmt.Sprintf("quantile%s (%s, %s)", group, scalar(r), child)
	case 2:
		if strings.Contains(child, "std") {
			child = selector(r) // Their errors of rounding, which differ, would be other values.
		}
		// Here and elsewhere, values that are whole or half but for an error of rounding must not be rounded.
		return fmt.Sprintf(`count_values%s ("v", round(%s + 0.123))`, group, child)
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
	if strings.Contains(l+m, "std") {
		l, m = "("+l+")", selector(r) // A modulo or comparison of both would show errors of rounding.
	}
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
	switch r.IntN(9) {
	case 8:
		return fmt.Sprintf("%s(native[%s:%s])", pick(r, "rate", "increase", "sum_over_time", "last_over_time"), pick(r, "3m", "10m"), pick(r, "45s", "2m"))
	case 0:
		// Not of negative counts: the answer then depends on which empty buckets a histogram has.
		return fmt.Sprintf("histogram_quantile(%s, %s)", scalar(r), strings.TrimPrefix(v, "-"))
	case 1:
		return fmt.Sprintf("histogram_fraction(%s, 2, %s)", pick(r, "0", "-1", "0.3"), v)
	case 2:
		// Not of the first histograms in windows: upstream reads these without buckets, and then finds resets or not depending
		// on where its iterator was before.
		v = strings.ReplaceAll(v, "first_over_time", "last_over_time")
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

// experimental returns a query with functions and aggregations that are behind a flag.
func experimental(r *rand.Rand, depth int) string {
	window := selector(r) + "[" + pick(r, "1m", "5m") + "]" + modifiers(r)
	switch r.IntN(9) {
	case 0:
		return fmt.Sprintf("%s(%s)", pick(r, "ts_of_max_over_time", "ts_of_min_over_time", "ts_of_first_over_time", "ts_of_last_over_time", "mad_over_time"), window)
	case 1:
		return fmt.Sprintf("double_exponential_smoothing(%s, %s, 0.3)", window, pick(r, "0.5", "0.1", "0.9"))
	case 2:
		return fmt.Sprintf(`sort_by_label%s(%s, "job", "instance")`, pick(r, "", "_desc"), vector(r, depth-1))
	case 3:
		return fmt.Sprintf(`histogram_quantiles(%s, "q", 0.1, %s)`, pick(r, "latency_seconds_bucket", "rate(latency_seconds_bucket[5m])", "native"), scalar(r))
	case 4:
		return fmt.Sprintf("limitk%s (%d, %s)", pick(r, "", " by (job)"), r.IntN(4), selector(r))
	case 5:
		return fmt.Sprintf("limit_ratio%s (%s, %s)", pick(r, "", " by (job)"), pick(r, "0.2", "-0.8", "0", "1.5", "-2"), vector(r, depth-1))
	case 6:
		return fmt.Sprintf("(%s %s %s)", vector(r, depth-1), pick(r, "+", "*", ">"), pick(r, "step()", "range()", "start()", "end()"))
	case 7:
		return fmt.Sprintf("first_over_time(%s)", window)
	}
	return fmt.Sprintf("present_over_time(%s)", window)
}

// special returns queries of shapes that the others do not have.
func special(r *rand.Rand, depth int) string {
	v := vector(r, depth-1)
	switch r.IntN(13) {
	case 11:
		// What is left is lost without compensated summation.
		return pick(r, "sum by (job) (cancelling)", "avg by (job) (cancelling)", "sum(cancelling)", "sum_over_time(cancelling[2m])", "avg_over_time(cancelling[2m])")
	case 0:
		return fmt.Sprintf(`label_join(%s, "%s", "-", "job", "instance")`, v, pick(r, "both", "job"))
	case 1:
		return fmt.Sprintf("vector(%s)", scalar(r))
	case 2:
		return fmt.Sprintf("absent(%s)", selector(r))
	case 3:
		return fmt.Sprintf("(%s %s on () group_left () sum(%s))", selector(r), arithmetic(r), v)
	case 4:
		return fmt.Sprintf("(job_info %s on (job) group_right (team) %s)", pick(r, "*", "+", ">", "<"), selector(r))
	case 5:
		return fmt.Sprintf("(%s %s %s offset %s)", "requests_total", arithmetic(r), "requests_total", pick(r, "15s", "1m", "-30s"))
	case 6:
		return fmt.Sprintf("(%s(requests_total[%s]) %s %s(requests_total[%s]))", pick(r, "rate", "sum_over_time", "changes"), pick(r, "1m", "5m"), arithmetic(r),
			pick(r, "increase", "max_over_time", "count_over_time"), pick(r, "1m", "4m"))
	case 7:
		return fmt.Sprintf(`(%s %s requests_total{zone=~"%s", instance!="host2"})`, selector(r), pick(r, "+", "/", "and", "unless", "or", "== bool", "and ignoring (zone)"), pick(r, "a|b", "c", ".*"))
	case 8:
		return fmt.Sprintf(`(count by (job, zone) (%s) %s on (job, zone) group_right () requests_total{zone="%s"})`, pick(r, "requests_total", "temperature", `{job=~"job[0-3]"}`), arithmetic(r), pick(r, "a", "b"))
	case 9:
		return fmt.Sprintf("%s(%s(%s[1m])[4m:%s]%s)", pick(r, "max_over_time", "avg_over_time", "min_over_time", "rate"), pick(r, "rate", "delta", "last_over_time"), selector(r), pick(r, "30s", "1m"), modifiers(r))
	case 10:
		return fmt.Sprintf("(sum by (job) (%s) / count by (job) (%s))", pick(r, "temperature", "rate(requests_total[2m])", "native"), pick(r, "temperature", "requests_total", "native"))
	}
	return fmt.Sprintf("%s by (job) (%s_over_time(temperature[%s]))", pick(r, "sum", "avg", "max", "stdvar"), pick(r, "sum", "avg", "stddev"), pick(r, "5m", "20m"))
}
