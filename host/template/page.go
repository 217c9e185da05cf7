package template

import (
	"bytes"
	"context"
	"fmt"
	"html/template"
	"net/url"
	"time"
)

// PageData is what a page can refer to.
type PageData struct {
	// RawParams are the parameters of the request, Params the first value of each.
	RawParams url.Values
	Params    map[string]string
	// Path is that of the page, without a slash in front.
	Path           string
	ExternalLabels map[string]string
}

// pageDefinitions give the fields of [PageData] the names that pages know them by.
const pageDefinitions = `{{$rawParams := .RawParams }}{{$params := .Params}}{{$path := .Path}}{{$externalLabels := .ExternalLabels}}`

// Page is the template of a web page.
type Page struct {
	// Name shows in errors.
	Name, Text string
	// Libraries are the paths of files with templates that pages use.
	Libraries []string
	// External is the server's URL.
	External *url.URL
}

// Expand makes the page, with values escaped as HTML asks for. The error says what is wrong with it; it is also what a
// panic ends in.
func (p *Page) Expand(ctx context.Context, data PageData, at time.Time, query QueryFunc) (html []byte, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			html, err = nil, fmt.Errorf("panic expanding template %s: %v", p.Name, panicked)
		}
	}()
	t := template.New(p.Name).Funcs(functions(p.External)).Option("missingkey=zero").Funcs(template.FuncMap{
		"query": func(q string) (vector, error) { return answer(ctx, q, at, query) },
		"now":   func() float64 { return float64(at.UnixMilli()) / 1000 },
	})
	t.Funcs(template.FuncMap{"tmpl": func(name string, data any) (template.HTML, error) {
		var b bytes.Buffer
		err := t.ExecuteTemplate(&b, name, data)
		return template.HTML(b.String()), err
	}})
	if _, err := t.Parse(pageDefinitions + p.Text); err != nil {
		return nil, fmt.Errorf("error parsing template %s: %w", p.Name, err)
	}
	if len(p.Libraries) > 0 {
		if _, err := t.ParseFiles(p.Libraries...); err != nil {
			return nil, fmt.Errorf("error parsing template files for %s: %w", p.Name, err)
		}
	}
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return nil, fmt.Errorf("error executing template %s: %w", p.Name, err)
	}
	return b.Bytes(), nil
}
