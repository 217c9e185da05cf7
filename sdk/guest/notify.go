package guest

import (
	"context"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/wire"
)

// notify hands a batch to the notifier.
func (g *guest) notify(ctx context.Context, body []byte) ([]byte, error) {
	err := g.notifier.Notify(ctx, sdk.Batch(body))
	if !sdk.IsRejected(err) {
		return nil, err
	}
	text := err.Error()
	if limit := int(g.limits.outputBytes) - len(wire.Rejected) - 2; limit >= 0 && len(text) > limit {
		text = text[:limit]
	}
	return []byte(wire.Rejected + "\n\n" + text), nil
}
