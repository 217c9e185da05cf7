// Command cmd is the guest of package liar: it says hello and then waits for its end.
package main

import (
	"io"
	"os"

	"github.com/narthex-io/narthex/host/plugin/internal/liar"
	"github.com/narthex-io/narthex/sdk/wire"
)

func main() {
	events, err := os.Open(wire.EventsPath)
	if err != nil {
		os.Exit(1)
	}
	send(uint32(wire.Hello), []byte(liar.Hello(os.Args[0])))
	if _, err := io.Copy(io.Discard, events); err != nil {
		os.Exit(1)
	}
}
