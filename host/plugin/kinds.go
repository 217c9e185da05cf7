package plugin

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/sdk"
)

// defaultContentType is what an exporter or a parser writes when its manifest does not say.
const defaultContentType = "text/plain; version=0.0.4"

// Exporter is an exporter whose guest may come and go. It implements sdk.Exporter.
type Exporter struct{ callee }

// ContentType is the exposition format that Collect writes.
func (e *Exporter) ContentType() string {
	return cmp.Or(e.unit.file.manifest.ContentType, defaultContentType)
}

// Collect implements sdk.Exporter. While the guest is being restarted, and after the exporter is gone, it returns an
// error that names the plugin and the reason.
func (e *Exporter) Collect(ctx context.Context, w io.Writer) error {
	return e.call(func(g guest) error { return g.Exporter().Collect(ctx, w) })
}

// Parser is a parser whose guest may come and go. It implements sdk.Parser.
type Parser struct {
	callee
	// places bound how many bodies are in the guest at once, so that its memory does not depend on how many targets there are.
	places chan struct{}
	// tooLarge is the size of the smallest body for which a sandboxed guest had not enough memory; 0 if there was none.
	tooLarge atomic.Int64
}

// leastBlamed is the size from which on a body is blamed for the memory that it takes.
const leastBlamed = 1 << 20

// newParser returns a parser whose guest gets a body at a time if it is sandboxed, because it has one thread, and otherwise
// as many as there are processors.
func newParser(u *unit) *Parser {
	n := 1
	if u.file.transport == TransportProcess {
		n = runtime.GOMAXPROCS(0)
	}
	return &Parser{callee: newCallee(u), places: make(chan struct{}, n)}
}

// Name is the plugin's name.
func (p *Parser) Name() string { return p.unit.file.name }

// ContentType is the exposition format that Parse writes.
func (p *Parser) ContentType() string {
	return cmp.Or(p.unit.file.manifest.ContentType, defaultContentType)
}

// ContentTypes are the media types that the plugin reads where the operator lists none.
func (p *Parser) ContentTypes() []string { return slices.Clone(p.unit.file.manifest.ContentTypes) }

// Parse implements sdk.Parser. It waits for its turn, and for a guest that is being restarted, so that a body that ends the
// guest fails alone; one for which the guest had not enough memory is refused from then on, and so are larger ones. After the
// parser is gone it returns an error. Errors name the plugin and the reason.
func (p *Parser) Parse(ctx context.Context, body []byte, contentType string, w io.Writer) error {
	if size := p.tooLarge.Load(); size > 0 && int64(len(body)) >= size {
		return fmt.Errorf("plugin %s: the body has %d bytes, and one of %d took more memory than there is: raise plugins.settings.%[1]s.limits.memory",
			p.Name(), len(body), size)
	}
	select {
	case p.places <- struct{}{}:
		defer func() { <-p.places }()
	case <-ctx.Done():
		return fmt.Errorf("plugin %s is busy with other bodies: %w", p.Name(), ctx.Err())
	}
	p.await(ctx)
	err := p.call(func(g guest) error { return g.Parser().Parse(ctx, body, contentType, w) })
	if len(body) >= leastBlamed && cap(p.places) == 1 && session.ReasonOf(err) == session.ReasonMemory {
		p.tooLarge.Store(int64(len(body))) // It has been smaller than the one before it.
	}
	return err
}

// Notifier is a notifier whose guest may come and go. It implements sdk.Notifier.
type Notifier struct{ callee }

// Notify implements sdk.Notifier. While the guest is being restarted, and after the notifier is gone, it returns an
// error that names the plugin and the reason, and that another try may change.
func (n *Notifier) Notify(ctx context.Context, b sdk.Batch) error {
	return n.call(func(g guest) error { return g.Notifier().Notify(ctx, b) })
}

// Signer signs requests; its guest may come and go. It implements sdk.Signer.
type Signer struct{ callee }

// Name is the plugin's name.
func (s *Signer) Name() string { return s.unit.file.name }

// Sign implements sdk.Signer. While the guest is being restarted, and after the signer is gone, it returns an error that
// names the plugin and the reason.
func (s *Signer) Sign(ctx context.Context, r sdk.AuthRequest) (header sdk.Header, err error) {
	err = s.call(func(g guest) error {
		header, err = g.Signer().Sign(ctx, r)
		return err
	})
	return header, err
}

// Authenticator judges requests; its guest may come and go. It implements sdk.Authenticator.
type Authenticator struct{ callee }

// Name is the plugin's name.
func (a *Authenticator) Name() string { return a.unit.file.name }

// Authenticate implements sdk.Authenticator. While the guest is being restarted, and after the authenticator is gone, it
// returns an error that names the plugin and the reason, and that is no verdict on the request.
func (a *Authenticator) Authenticate(ctx context.Context, r sdk.AuthRequest) (id sdk.Identity, err error) {
	err = a.call(func(g guest) error {
		id, err = g.Authenticator().Authenticate(ctx, r)
		return err
	})
	return id, err
}

var (
	_ sdk.Discovery     = (*Discovery)(nil)
	_ sdk.Exporter      = (*Exporter)(nil)
	_ sdk.Parser        = (*Parser)(nil)
	_ sdk.Notifier      = (*Notifier)(nil)
	_ sdk.Signer        = (*Signer)(nil)
	_ sdk.Authenticator = (*Authenticator)(nil)
)
