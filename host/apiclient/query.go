package apiclient

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
)

// answerData is the data of an answer to a query.
type answerData struct {
	ResultType string
	Result     json.RawMessage
}

// Query evaluates an expression at one time. The warnings are the server's.
func (c *Client) Query(ctx context.Context, expr string, at time.Time) (v model.Value, warnings []string, err error) {
	return c.evaluate(ctx, "query", url.Values{"query": {expr}, "time": {Unix(at)}})
}

// QueryRange evaluates an expression from start to end, step by step.
func (c *Client) QueryRange(ctx context.Context, expr string, start, end time.Time, step time.Duration) (v model.Value, warnings []string, err error) {
	return c.evaluate(ctx, "query_range", url.Values{
		"query": {expr}, "start": {Unix(start)}, "end": {Unix(end)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)},
	})
}

func (c *Client) evaluate(ctx context.Context, path string, form url.Values) (model.Value, []string, error) {
	var data answerData
	warnings, err := c.Ask(ctx, http.MethodPost, path, form, &data)
	if err != nil {
		return nil, warnings, err
	}
	v, err := data.value()
	if err != nil {
		return nil, warnings, fmt.Errorf("decode the answer of %s: %w", c.Server(), err)
	}
	return v, warnings, nil
}

// value decodes the result.
func (d *answerData) value() (v model.Value, err error) {
	switch d.ResultType {
	case "vector":
		vector := model.Vector{}
		err = json.Unmarshal(d.Result, &vector)
		v = vector
	case "matrix":
		matrix := model.Matrix{}
		err = json.Unmarshal(d.Result, &matrix)
		v = matrix
	case "scalar":
		scalar := new(model.Scalar)
		err = json.Unmarshal(d.Result, scalar)
		v = scalar
	case "string":
		text := new(model.String)
		err = json.Unmarshal(d.Result, text)
		v = text
	default:
		err = fmt.Errorf("unknown type of result %q", d.ResultType)
	}
	return v, err
}

// Series returns the labels of the series that one of the selectors matches.
func (c *Client) Series(ctx context.Context, selectors []string, start, end time.Time) (found []model.LabelSet, warnings []string, err error) {
	found = []model.LabelSet{}
	warnings, err = c.Ask(ctx, http.MethodPost, "series", within(selectors, start, end), &found)
	return found, warnings, err
}

// LabelValues returns the values of a label, of the series that one of the selectors matches if there are any.
func (c *Client) LabelValues(ctx context.Context, name string, selectors []string, start, end time.Time) (found, warnings []string, err error) {
	found = []string{}
	if !model.LegacyValidation.IsValidLabelName(name) {
		name = model.EscapeName(name, model.ValueEncodingEscaping)
	}
	path := "label/" + url.PathEscape(name) + "/values"
	warnings, err = c.Ask(ctx, http.MethodGet, path, within(selectors, start, end), &found)
	return found, warnings, err
}

// within makes the form of a request about series. Times that are zero are left to the server.
func within(selectors []string, start, end time.Time) url.Values {
	form := url.Values{}
	if len(selectors) > 0 {
		form["match[]"] = selectors
	}
	if !start.IsZero() {
		form.Set("start", Unix(start))
	}
	if !end.IsZero() {
		form.Set("end", Unix(end))
	}
	return form
}

// Unix formats a time as the API takes it, in seconds with as many digits as milliseconds need.
func Unix(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', -1, 64) }
