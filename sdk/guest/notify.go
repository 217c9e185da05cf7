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
	return g.withMessage(wire.Head{Line: wire.Rejected}, err)
}
