package main

import "github.com/narthex-io/narthex/sdk/wire"

// conn carries frames without looking at them.
type conn interface {
	send(f wire.Frame) error
	recv() (wire.Frame, error)
}
