package template

import (
	"errors"
	"fmt"
	htmltemplate "html/template"
	"math"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/prometheus/common/helpers/templates"
	"github.com/prometheus/common/model"
	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// vectorFunctions work on the answers of queries.
func vectorFunctions() template.FuncMap {
	return template.FuncMap{
		"first": func(v vector) (*sample, error) {
			if len(v) == 0 {
				return nil, errors.New("first() called on vector with no elements")
			}
			return v[0], nil
		},
		"label":    func(name string, s *sample) string { return s.Labels[name] },
		"value":    func(s *sample) any { return s.Value },
		"strvalue": func(s *sample) string { return s.Labels["__value__"] },
		"sortByLabel": func(name string, v vector) vector {
			slices.SortStableFunc(v, func(a, b *sample) int { return strings.Compare(a.Labels[name], b.Labels[name]) })
			return v
		},
		"args": func(args ...any) map[string]any {
			named := make(map[string]any, len(args))
			for i, arg := range args {
				named[fmt.Sprintf("arg%d", i)] = arg
			}
			return named
		},
	}
}

func textFunctions() template.FuncMap {
	return template.FuncMap{
		"title":   cases.Title(language.AmericanEnglish, cases.NoLower).String,
		"toUpper": strings.ToUpper,
		"toLower": strings.ToLower,
		"match":   regexp.MatchString,
		"reReplaceAll": func(pattern, replacement, text string) string {
			// Package text/template makes an error of the panic.
			return regexp.MustCompile(pattern).ReplaceAllString(text, replacement)
		},
		"safeHtml":       func(text string) htmltemplate.HTML { return htmltemplate.HTML(text) },
		"graphLink":      GraphLink,
		"tableLink":      TableLink,
		"urlQueryEscape": url.QueryEscape,
		"stripPort":      stripPort,
		"stripDomain":    stripDomain,
	}
}

// TableLink returns the path and query of the page that shows an expression as a table.
func TableLink(expr string) string { return "/graph?g0.expr=" + url.QueryEscape(expr) + "&g0.tab=1" }

// GraphLink returns the path and query of the page that shows an expression as a graph.
func GraphLink(expr string) string { return "/graph?g0.expr=" + url.QueryEscape(expr) + "&g0.tab=0" }

func stripPort(hostPort string) string {
	if host, _, err := net.SplitHostPort(hostPort); err == nil {
		return host
	}
	return hostPort
}

func stripDomain(hostPort string) string {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		host = hostPort
	}
	if net.ParseIP(host) != nil {
		return hostPort
	}
	host, _, _ = strings.Cut(host, ".")
	if port != "" {
		return net.JoinHostPort(host, port)
	}
	return host
}

// numberFunctions take numbers, or strings that hold one.
func numberFunctions() template.FuncMap {
	return template.FuncMap{
		"humanize":          humanize,
		"humanize1024":      humanize1024,
		"humanizeDuration":  templates.HumanizeDuration,
		"humanizeTimestamp": templates.HumanizeTimestamp,
		"humanizePercentage": func(number any) (string, error) {
			v, err := templates.ConvertToFloat(number)
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%.4g%%", v*100), nil
		},
		"toTime":     toTime,
		"toDuration": toDuration,
		"parseDuration": func(text string) (float64, error) {
			d, err := model.ParseDurationAllowNegative(text)
			return time.Duration(d).Seconds(), err
		},
	}
}

// humanize shortens a number with the SI prefixes.
func humanize(number any) (string, error) {
	v, err := templates.ConvertToFloat(number)
	switch {
	case err != nil:
		return "", err
	case v == 0 || math.IsNaN(v) || math.IsInf(v, 0):
		return fmt.Sprintf("%.4g", v), nil
	case math.Abs(v) >= 1:
		return scaled(v, "kMGTPEZY", func(v float64) (float64, bool) { return v / 1000, math.Abs(v) >= 1000 }), nil
	default:
		return scaled(v, "munpfazy", func(v float64) (float64, bool) { return v * 1000, math.Abs(v) < 1 }), nil
	}
}

// scaled goes to the next prefix as long as step says that there is need to, and formats the number that it came to.
func scaled(v float64, prefixes string, step func(float64) (next float64, ok bool)) string {
	prefix := ""
	for _, p := range prefixes {
		next, ok := step(v)
		if !ok {
			break
		}
		v, prefix = next, string(p)
	}
	return fmt.Sprintf("%.4g%s", v, prefix)
}

// humanize1024 shortens a number with the binary prefixes.
func humanize1024(number any) (string, error) {
	v, err := templates.ConvertToFloat(number)
	if err != nil {
		return "", err
	}
	if math.Abs(v) <= 1 || math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Sprintf("%.4g", v), nil
	}
	text := scaled(v, "kMGTPEZY", func(v float64) (float64, bool) { return v / 1024, math.Abs(v) >= 1024 })
	if strings.ContainsAny(text, "kMGTPEZY") {
		text += "i"
	}
	return text, nil
}

func toTime(number any) (*time.Time, error) {
	v, err := templates.ConvertToFloat(number)
	if err != nil {
		return nil, err
	}
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil, errors.New("value is NaN or Inf")
	}
	nanos := v * 1e9
	if nanos > math.MaxInt64 || nanos < math.MinInt64 {
		return nil, fmt.Errorf("%v cannot be represented as a nanoseconds timestamp since it overflows int64", v)
	}
	t := model.TimeFromUnixNano(int64(nanos)).Time().UTC()
	return &t, nil
}

func toDuration(number any) (*time.Duration, error) {
	v, err := templates.ConvertToFloat(number)
	if err != nil {
		return nil, err
	}
	d := time.Duration(v * float64(time.Second))
	return &d, nil
}
