package exec

import "math"

// windowTable holds the functions over windows.
//
//nolint:gochecknoglobals // constant table
var windowTable = map[string]windowFunc{
	"avg_over_time":                {kernel: sums(true, avgOf), native: true},
	"changes":                      {kernel: countSteps(changed), native: true},
	"count_over_time":              {kernel: countOverTime, native: true},
	"delta":                        {kernel: extrapolated(false, false), native: true},
	"deriv":                        {kernel: deriv},
	"double_exponential_smoothing": {kernel: smoothing, valid: validFactors},
	"first_over_time":              {kernel: pick(false), native: true},
	"idelta":                       {kernel: lastTwo(false), native: true},
	"increase":                     {kernel: extrapolated(true, false), native: true},
	"irate":                        {kernel: lastTwo(true), native: true},
	"last_over_time":               {kernel: pick(true), native: true},
	"mad_over_time":                {kernel: madOverTime},
	"max_over_time":                {kernel: extreme(1, false)},
	"min_over_time":                {kernel: extreme(-1, false)},
	"predict_linear":               {kernel: predictLinear},
	"present_over_time":            {kernel: presentOverTime, native: true},
	"quantile_over_time":           {kernel: quantileOverTime},
	"rate":                         {kernel: extrapolated(true, true), native: true},
	"resets":                       {kernel: countSteps(wasReset), native: true},
	"stddev_over_time":             {kernel: spreadOverTime(math.Sqrt)},
	"stdvar_over_time":             {kernel: spreadOverTime(func(v float64) float64 { return v })},
	"sum_over_time":                {kernel: sums(false, sumOf), native: true},
	"ts_of_first_over_time":        {kernel: pickTime(false), native: true},
	"ts_of_last_over_time":         {kernel: pickTime(true), native: true},
	"ts_of_max_over_time":          {kernel: extreme(1, true)},
	"ts_of_min_over_time":          {kernel: extreme(-1, true)},
}
