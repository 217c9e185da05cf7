package guest

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/wire"
)

// dns looks names up through the host.
type dns struct{ g *guest }

// Lookup implements sdk.DNS.
func (d dns) Lookup(ctx context.Context, t sdk.DNSType, name string) ([]sdk.DNSRecord, error) {
	if err := acquire(ctx, d.g.limits.http); err != nil {
		return nil, err
	}
	defer func() { <-d.g.limits.http }()
	id, answers, err := d.g.open()
	if err != nil {
		return nil, err
	}
	defer d.g.drop(id)
	if err := d.g.conn.Send(wire.Frame{Type: wire.DNSLookup, ID: id, Payload: []byte(string(t) + " " + name)}); err != nil {
		return nil, err
	}
	answer, err := await(ctx, answers)
	if err != nil {
		return nil, err
	}
	if answer.Type != wire.DNSRecords {
		return nil, errors.New(string(answer.Payload))
	}
	return decodeRecords(string(answer.Payload))
}

// decodeRecords reads lines of a target and a port.
func decodeRecords(lines string) ([]sdk.DNSRecord, error) {
	var records []sdk.DNSRecord
	for line := range strings.Lines(lines) {
		target, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		port, err := strconv.ParseUint(rest, 10, 16)
		if err != nil {
			return nil, errors.New("the host answered a look-up with " + strconv.Quote(line))
		}
		records = append(records, sdk.DNSRecord{Target: target, Port: uint16(port)})
	}
	return records, nil
}
