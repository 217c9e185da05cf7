package guest

import (
	"context"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/wire"
)

// sign has the signer sign the request that body holds.
func (g *guest) sign(ctx context.Context, call wire.Head, body []byte) ([]byte, error) {
	r, err := wire.ParseRequest(body)
	if err != nil {
		return nil, err
	}
	r.BodySHA256 = call.Get(wire.FieldBodySHA256)
	header, err := g.signer.Sign(ctx, r)
	if err != nil {
		return nil, err
	}
	fields, err := wire.HeaderFields(header)
	if err != nil {
		return nil, err
	}
	return wire.Head{Line: wire.Signed, Fields: fields}.Append(nil)
}

// authenticate has the authenticator judge the request that body holds.
func (g *guest) authenticate(ctx context.Context, call wire.Head, body []byte) ([]byte, error) {
	r, err := wire.ParseRequest(body)
	if err != nil {
		return nil, err
	}
	r.RemoteAddr = call.Get(wire.FieldRemoteAddr)
	id, err := g.authenticator.Authenticate(ctx, r)
	verdict := wire.Head{Line: wire.Allow, Fields: []wire.Field{{Name: wire.FieldUser, Value: id.User}}}
	challenge, unknown := sdk.IsUnauthenticated(err)
	switch {
	case err == nil:
		return verdict.Append(nil)
	case sdk.IsForbidden(err):
		verdict = wire.Head{Line: wire.Forbidden}
	case unknown:
		verdict = wire.Head{Line: wire.Unauthenticated}
		if challenge != "" {
			verdict.Fields = []wire.Field{{Name: wire.FieldChallenge, Value: challenge}}
		}
	default:
		return nil, err
	}
	return g.withMessage(verdict, err)
}

// withMessage returns a result that is a head and err's text, cut to the limit of the output.
func (g *guest) withMessage(head wire.Head, err error) ([]byte, error) {
	b, bad := head.Append(nil)
	if bad != nil {
		return nil, bad
	}
	text := err.Error()
	return append(b, text[:min(len(text), max(int(g.limits.outputBytes)-len(b), 0))]...), nil
}
