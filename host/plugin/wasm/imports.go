package wasm

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/tetratelabs/wazero/api"
	wasisys "github.com/tetratelabs/wazero/sys"

	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/sdk/wire"
)

// Errors of the imports, by WASI preview 1's numbers; the imports of nx1 return them negated.
const (
	errnoAgain  = 6
	errnoFault  = 21
	errnoInval  = 28
	errnoNotSup = 58
	errnoPipe   = 64
)

// nxSend is the import send(type, id, ptr, len) → 0 or a negated errno. It blocks while the host is busy, which is
// the back-pressure on the guest.
func nxSend(ctx context.Context, m api.Module, frameType, id, ptr, length uint32) int32 {
	i := instanceOf(ctx)
	if i == nil {
		return -errnoInval
	}
	if length > i.options.MessageBytes {
		i.refused = &session.EndError{
			Reason: session.ReasonMessage,
			Detail: fmt.Sprintf("%v of %d bytes, the limit is %d", wire.Type(frameType), length, i.options.MessageBytes),
		}
		stop(ctx, m)
	}
	view, ok := m.Memory().Read(ptr, length)
	if !ok {
		return -errnoFault
	}
	select {
	case i.frames <- wire.Frame{Type: wire.Type(frameType), ID: id, Payload: slices.Clone(view)}: // view aliases guest memory
		return 0
	case <-ctx.Done():
		stop(ctx, m)
		return -errnoPipe
	}
}

// nxRecv is the import recv(ptr, cap, timeout_ms) → the size of the frame that was written to ptr, or a negated
// errno. When the frame is larger than capacity, nothing is written and the frame stays.
func nxRecv(ctx context.Context, m api.Module, ptr, capacity uint32, timeoutMillis int32) int32 {
	i := instanceOf(ctx)
	if i == nil {
		return -errnoInval
	}
	d := max(time.Duration(timeoutMillis)*time.Millisecond, -1)
	if !i.queue.wait(ctx.Done(), true, d) {
		if ctx.Err() != nil {
			stop(ctx, m)
			return -errnoPipe
		}
		return -errnoAgain
	}
	view, ok := m.Memory().Read(ptr, capacity)
	if !ok {
		return -errnoFault
	}
	return int32(i.queue.readFrame(view))
}

// stop ends a guest whose context is done, from inside an import.
func stop(ctx context.Context, m api.Module) {
	_ = m.CloseWithExitCode(ctx, wasisys.ExitCodeContextCanceled)
	panic(wasisys.NewExitError(wasisys.ExitCodeContextCanceled))
}

// Layout of poll_oneoff's structures in WASI preview 1.
const (
	subscriptionSize = 48
	eventSize        = 32
	subTagOffset     = 8
	subFDOffset      = 16
	subTimeoutOffset = 24
	subFlagsOffset   = 40
	eventErrnoOffset = 8
	eventTypeOffset  = 10
	tagClock         = 0
	tagRead          = 1
	maxSubscriptions = 1024
	firstOwnFD       = 3 // 0 to 2 are always ready
)

// pollOneoff replaces WASI's poll_oneoff, which neither ends with the context nor blocks on anything but stdin: here,
// waiting for the events file, for the earliest timer and for the context is one select.
func pollOneoff(ctx context.Context, m api.Module, in, out, count, resultCount uint32) uint32 {
	i := instanceOf(ctx)
	if i == nil || count == 0 || count > maxSubscriptions {
		return errnoInval
	}
	view, ok := m.Memory().Read(in, count*subscriptionSize)
	if !ok {
		return errnoFault
	}
	subs := slices.Clone(view)
	w := planWait(subs)
	ready := i.queue.wait(ctx.Done(), w.events, w.timeout)
	if ctx.Err() != nil {
		stop(ctx, m)
	}
	events, ok := m.Memory().Read(out, count*eventSize)
	if !ok {
		return errnoFault
	}
	n := writeEvents(events, subs, w, ready)
	if !m.Memory().WriteUint32Le(resultCount, n) {
		return errnoFault
	}
	return 0
}

// wait is what a list of subscriptions amounts to.
type wait struct {
	events    bool          // somebody reads the events file
	immediate bool          // some subscription is ready, or wrong, at once
	timeout   time.Duration // of the earliest timer; -1 without one
}

func planWait(subs []byte) wait {
	w := wait{timeout: -1}
	for ; len(subs) > 0; subs = subs[subscriptionSize:] {
		switch {
		case isAbsolute(subs):
			w.immediate = true
		case subs[subTagOffset] == tagClock:
			if d := relative(subs); w.timeout < 0 || d < w.timeout {
				w.timeout = d
			}
		case isEvents(subs):
			w.events = true
		default:
			w.immediate = true
		}
	}
	if w.immediate {
		w.timeout = 0
	}
	return w
}

func relative(sub []byte) time.Duration {
	return time.Duration(min(binary.LittleEndian.Uint64(sub[subTimeoutOffset:]), 1<<62))
}

func isAbsolute(sub []byte) bool {
	return sub[subTagOffset] == tagClock && sub[subFlagsOffset]&1 != 0
}

func isEvents(sub []byte) bool {
	return sub[subTagOffset] == tagRead && binary.LittleEndian.Uint32(sub[subFDOffset:]) >= firstOwnFD
}

// writeEvents writes an event for each subscription that came true and returns how many.
func writeEvents(events, subs []byte, w wait, ready bool) uint32 {
	n := uint32(0)
	for ; len(subs) > 0; subs = subs[subscriptionSize:] {
		errno := byte(0)
		switch {
		case isAbsolute(subs):
			errno = errnoNotSup
		case subs[subTagOffset] == tagClock:
			if ready || relative(subs) > w.timeout {
				continue
			}
		case isEvents(subs):
			if !ready {
				continue
			}
		}
		e := events[n*eventSize : (n+1)*eventSize]
		clear(e)
		copy(e, subs[:subTagOffset]) // the caller's own mark
		e[eventErrnoOffset] = errno
		e[eventTypeOffset] = subs[subTagOffset]
		n++
	}
	return n
}
