// Package jsonmetrics turns JSON documents into metrics, as a list of rules says: each selects nodes of the document with
// JSONPath (RFC 9535), and makes a sample of each node, whose value and labels are selected from the node in turn.
//
// Start with [Plugin] and [ParseConfig]; a rule (rule.go) makes samples, a path (path.go) selects nodes.
package jsonmetrics

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/narthex-io/narthex/sdk"
)

// Plugin returns the plugin for guest.Main.
func Plugin() sdk.Plugin {
	return sdk.Plugin{
		Manifest: sdk.Manifest{
			Name: "parser-json", Version: "0.1.0", Kinds: []sdk.Kind{sdk.KindParser}, ContentTypes: []string{"application/json"},
		},
		NewParser: func(c sdk.Config, _ sdk.Host) (sdk.Parser, error) {
			config, err := ParseConfig(c)
			if err != nil {
				return nil, err
			}
			return &parser{config}, nil
		},
	}
}

type parser struct{ config Config }

// Parse implements sdk.Parser.
func (p *parser) Parse(ctx context.Context, body []byte, _ string, w io.Writer) error {
	document, err := decode(body)
	if err != nil {
		return err
	}
	e := exposition{skipInvalid: p.config.SkipInvalid, described: map[string]bool{}}
	for i := range p.config.Rules {
		r := &p.config.Rules[i]
		if err := r.collect(ctx, document, &e); err != nil {
			return fmt.Errorf("metric %s: %w", r.Name, err)
		}
	}
	_, err = w.Write(e.text)
	return err
}

// maxDepth bounds the nesting of a document, since what a path selects knows all the names on the way to it.
const maxDepth = 256

// decode reads a document whose numbers stay as they are written.
func decode(body []byte) (any, error) {
	if line, deep := tooDeep(body); deep {
		return nil, fmt.Errorf("line %d: the document is nested more than %d levels deep", line, maxDepth)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var document any
	err := d.Decode(&document)
	if err == nil {
		if _, more := d.Token(); errors.Is(more, io.EOF) {
			return document, nil
		}
		err = errors.New("there is something after the document")
	}
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the body is empty")
	}
	at := d.InputOffset()
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		at = syntax.Offset
	}
	return nil, fmt.Errorf("line %d is not JSON: %w", 1+bytes.Count(body[:min(int(at), len(body))], []byte{'\n'}), err)
}

// tooDeep finds nesting without decoding it.
func tooDeep(body []byte) (line int, deep bool) {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return 1 + bytes.Count(body[:i], []byte{'\n'}), true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return 0, false
}

// stopped returns why to stop. A sandboxed guest has one thread, so that its clocks stand still while it computes: hence the
// look at the deadline itself, and the pause.
func stopped(ctx context.Context) error {
	runtime.Gosched()
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}
