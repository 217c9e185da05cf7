package session

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/net/http/httpguts"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/wire"
)

type signer struct{ s *Session }

// Sign implements sdk.Signer. What it returns is fit for a header.
func (g signer) Sign(ctx context.Context, r sdk.AuthRequest) (sdk.Header, error) {
	name := g.s.manifest.Name
	payload, err := wire.AppendRequest(nil, r)
	if err != nil {
		return nil, fmt.Errorf("call plugin %s: %w", name, err)
	}
	out, err := g.s.call(ctx, wire.MethodSign, payload, wire.Field{Name: wire.FieldBodySHA256, Value: r.BodySHA256})
	if err != nil {
		return nil, err
	}
	head, _, err := wire.ParseHead(out)
	if err != nil || head.Line != wire.Signed {
		return nil, fmt.Errorf("plugin %s: the answer to %s is no head with the line %s", name, wire.MethodSign, wire.Signed)
	}
	for _, f := range head.Fields {
		if !httpguts.ValidHeaderFieldName(f.Name) || !httpguts.ValidHeaderFieldValue(f.Value) {
			return nil, fmt.Errorf("plugin %s: the field %q that it signs with does not fit into a header", name, f.Name)
		}
	}
	return head.Header(), nil
}

type authenticator struct{ s *Session }

// Authenticate implements sdk.Authenticator. A request that cannot be put before a guest is forbidden.
func (a authenticator) Authenticate(ctx context.Context, r sdk.AuthRequest) (sdk.Identity, error) {
	name := a.s.manifest.Name
	payload, err := wire.AppendRequest(nil, r)
	if err != nil {
		return sdk.Identity{}, sdk.Forbidden(fmt.Errorf("call plugin %s: %w", name, err))
	}
	out, err := a.s.call(ctx, wire.MethodAuthenticate, payload, wire.Field{Name: wire.FieldRemoteAddr, Value: r.RemoteAddr})
	if err != nil {
		return sdk.Identity{}, err
	}
	head, message, err := wire.ParseHead(out)
	if err != nil {
		return sdk.Identity{}, fmt.Errorf("plugin %s: the answer to %s: %w", name, wire.MethodAuthenticate, err)
	}
	switch head.Line {
	case wire.Allow:
		return sdk.Identity{User: head.Get(wire.FieldUser)}, nil
	case wire.Unauthenticated:
		return sdk.Identity{}, sdk.Unauthenticated(errors.New(string(message)), head.Get(wire.FieldChallenge))
	case wire.Forbidden:
		return sdk.Identity{}, sdk.Forbidden(errors.New(string(message)))
	}
	return sdk.Identity{}, fmt.Errorf("plugin %s: the answer to %s is %q, none of %s, %s and %s", name, wire.MethodAuthenticate,
		head.Line, wire.Allow, wire.Unauthenticated, wire.Forbidden)
}
