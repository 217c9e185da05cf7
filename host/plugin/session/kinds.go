package session

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/wire"
)

// Discovery returns the guest's discovery, to be run by one goroutine at a time. Nil unless that is the session's kind.
func (s *Session) Discovery() sdk.Discovery {
	if s.kind != sdk.KindDiscovery {
		return nil
	}
	return discovery{s}
}

// Exporter returns the guest's exporter. Nil unless that is the session's kind.
func (s *Session) Exporter() sdk.Exporter {
	if s.kind != sdk.KindExporter {
		return nil
	}
	return exporter{s}
}

// Parser returns the guest's parser. Nil unless that is the session's kind.
func (s *Session) Parser() sdk.Parser {
	if s.kind != sdk.KindParser {
		return nil
	}
	return parser{s}
}

// Notifier returns the guest's notifier. Nil unless that is the session's kind.
func (s *Session) Notifier() sdk.Notifier {
	if s.kind != sdk.KindNotify {
		return nil
	}
	return notifier{s}
}

// Signer returns what signs requests. Nil unless that is the session's kind.
func (s *Session) Signer() sdk.Signer {
	if s.kind != sdk.KindAuthOutbound {
		return nil
	}
	return signer{s}
}

// Authenticator returns what judges requests. Nil unless that is the session's kind.
func (s *Session) Authenticator() sdk.Authenticator {
	if s.kind != sdk.KindAuthInbound {
		return nil
	}
	return authenticator{s}
}

type exporter struct{ s *Session }

// Collect implements sdk.Exporter.
func (e exporter) Collect(ctx context.Context, w io.Writer) error {
	body, err := e.s.call(ctx, wire.MethodCollect, nil)
	if err != nil {
		return err
	}
	_, err = w.Write(body)
	return err
}

type parser struct{ s *Session }

// Parse implements sdk.Parser.
func (p parser) Parse(ctx context.Context, body []byte, contentType string, w io.Writer) error {
	var fields []wire.Field
	if contentType != "" {
		fields = []wire.Field{{Name: wire.FieldContentType, Value: contentType}}
	}
	out, err := p.s.call(ctx, wire.MethodParse, body, fields...)
	if err != nil {
		return err
	}
	_, err = w.Write(out)
	return err
}

type notifier struct{ s *Session }

// Notify implements sdk.Notifier.
func (n notifier) Notify(ctx context.Context, b sdk.Batch) error {
	body, err := n.s.call(ctx, wire.MethodNotify, b)
	if err != nil || len(body) == 0 {
		return err
	}
	head, reason, err := wire.ParseHead(body)
	if err != nil || head.Line != wire.Rejected {
		return fmt.Errorf("plugin %s: the answer to %s is neither empty nor a rejection", n.s.manifest.Name, wire.MethodNotify)
	}
	return sdk.Rejected(errors.New(clip(reason)))
}
