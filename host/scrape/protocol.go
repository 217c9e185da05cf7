package scrape

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/narthex-io/narthex/internal/strictyaml"
)

// Protocol is a name of an exposition format, as in scrape_protocols.
type Protocol string

// The protocols.
const (
	PrometheusProto      Protocol = "PrometheusProto"
	PrometheusText004    Protocol = "PrometheusText0.0.4"
	PrometheusText100    Protocol = "PrometheusText1.0.0"
	OpenMetricsText001   Protocol = "OpenMetricsText0.0.1"
	OpenMetricsText100   Protocol = "OpenMetricsText1.0.0"
	defaultAcceptQuality          = 6
)

// DefaultProtocols returns what is asked for if a config does not say: text formats, after protobuf if things are wanted
// that only that has.
func DefaultProtocols(protobuf bool) []Protocol {
	text := []Protocol{OpenMetricsText100, OpenMetricsText001, PrometheusText100, PrometheusText004}
	if protobuf {
		return append([]Protocol{PrometheusProto}, text...)
	}
	return text
}

func (p Protocol) check() error {
	switch p {
	case PrometheusProto, PrometheusText004, PrometheusText100, OpenMetricsText001, OpenMetricsText100:
		return nil
	default:
		return fmt.Errorf("unknown scrape protocol %q, known are %s, %s, %s, %s and %s", string(p),
			PrometheusProto, OpenMetricsText001, OpenMetricsText100, PrometheusText004, PrometheusText100)
	}
}

func checkProtocols(ps []Protocol) error {
	if len(ps) == 0 {
		return errors.New("scrape_protocols cannot be empty")
	}
	for i, p := range ps {
		if err := p.check(); err != nil {
			return strictyaml.At(strictyaml.Index("", i), err)
		}
		if slices.ContainsFunc(ps[:i], func(q Protocol) bool { return strings.EqualFold(string(p), string(q)) }) {
			return strictyaml.At(strictyaml.Index("", i), fmt.Errorf("protocol %s is listed twice", p))
		}
	}
	return nil
}

// mediaType returns the protocol's part of an Accept header.
func (p Protocol) mediaType(escaping string) string {
	switch p {
	case PrometheusProto:
		return "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
	case OpenMetricsText100:
		return "application/openmetrics-text;version=1.0.0;escaping=" + escaping
	case OpenMetricsText001:
		return "application/openmetrics-text;version=0.0.1"
	case PrometheusText100:
		return "text/plain;version=1.0.0;escaping=" + escaping
	default:
		return "text/plain;version=0.0.4"
	}
}

// acceptHeader lists protocols with falling quality, then further media types, and anything at all last.
func acceptHeader(ps []Protocol, escaping string, more ...string) string {
	var b strings.Builder
	quality := defaultAcceptQuality
	for _, p := range ps {
		b.WriteString(p.mediaType(escaping) + ";q=0." + strconv.Itoa(quality) + ",")
		quality--
	}
	for _, mediaType := range more {
		b.WriteString(mediaType + ";q=0." + strconv.Itoa(quality) + ",")
	}
	if len(more) > 0 {
		return b.String() + "*/*;q=0.05"
	}
	b.WriteString("*/*;q=0." + strconv.Itoa(quality))
	return b.String()
}
