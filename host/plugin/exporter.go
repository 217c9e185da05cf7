package plugin

import (
	"cmp"
	"context"
	"io"

	"github.com/narthex-io/narthex/sdk"
)

// defaultContentType is what an exporter writes when its manifest does not say.
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

// Notifier is a notifier whose guest may come and go. It implements sdk.Notifier.
type Notifier struct{ callee }

// Notify implements sdk.Notifier. While the guest is being restarted, and after the notifier is gone, it returns an
// error that names the plugin and the reason, and that another try may change.
func (n *Notifier) Notify(ctx context.Context, b sdk.Batch) error {
	return n.call(func(g guest) error { return g.Notifier().Notify(ctx, b) })
}

var (
	_ sdk.Discovery = (*Discovery)(nil)
	_ sdk.Exporter  = (*Exporter)(nil)
	_ sdk.Notifier  = (*Notifier)(nil)
)
