package scrape

import (
	"context"
	"errors"
	"fmt"

	"github.com/narthex-io/narthex/sdk"
)

// Parsers finds the running parser plugins.
type Parsers interface {
	// Parser returns a parser, and the content type of what it writes. It is called for each scrape, so that a plugin can be
	// exchanged at any time, and must be quick and safe for concurrent use.
	Parser(key ParserKey) (p sdk.Parser, contentType string, err error)
}

// parse has the job's parser for the content type, if there is one, turn l.body into an exposition, and returns the content
// type of what is in l.body then. Errors name the plugin.
func (l *loop) parse(ctx context.Context, s *settings, contentType string) (string, error) {
	l.parsedBy = ""
	cfg := s.parsers.of(contentType)
	if cfg == nil {
		return contentType, nil
	}
	l.parsedBy = cfg.Plugin
	if l.env.Parsers == nil {
		return "", errors.New("this server runs no parser plugins")
	}
	p, written, err := l.env.Parsers.Parser(cfg.Key())
	if err != nil {
		return "", err
	}
	out := l.env.takeBody()
	out.begin(&l.env.bodies, int(s.cfg.BodySizeLimit), l.lastParsed)
	if err := p.Parse(ctx, l.body.bytes, contentType, out); err != nil {
		l.env.giveBody(out)
		for _, tooLarge := range []error{errBodySizeLimit, errBodyMemory} {
			if errors.Is(err, tooLarge) {
				return "", fmt.Errorf("what parser plugin %s made of the body: %w", cfg.Plugin, tooLarge)
			}
		}
		return "", fmt.Errorf("parse a body of the type %q: %w", contentType, err) // It names the plugin.
	}
	out.complete()
	l.env.giveBody(l.body)
	l.body, l.lastParsed = out, out.size
	return written, nil
}
