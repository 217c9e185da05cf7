//go:build !wasip1

package main

import (
	"context"
	"os"
	"syscall"

	"github.com/narthex-io/narthex/sdk/wire"
	"github.com/narthex-io/narthex/sdk/wire/framegrpc"
)

const sandboxed = false

// run serves over the stream of a child process.
func run(f func(conn) error) {
	serve := framegrpc.Serve
	if shared {
		serve = framegrpc.ServeShared
	}
	serve(func(_ context.Context, s framegrpc.Stream) error { return f(stream{s}) })
}

type stream struct{ s framegrpc.Stream }

func (s stream) send(f wire.Frame) error   { return framegrpc.Send(s.s, f) }
func (s stream) recv() (wire.Frame, error) { return framegrpc.Recv(s.s) }

// trap dies as a program in C does.
func trap() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// wildSend hands the host memory that is not there; a process cannot.
func wildSend() string { return "" }
