package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/narthex-io/narthex/sdk/wire"
)

// attack does what the config says. It returns when that leaves the guest alive.
func (a *attacker) attack(id uint32) {
	if a.destroy(id) || a.exhaust(id) || a.confuse(id) {
		return
	}
	switch a.config.Do {
	case "peace":
	case "reach":
		a.answer(id, a.reach())
	case "open":
		a.answer(id, a.open())
	case "wild":
		a.answer(id, wildSend())
	default:
		_ = a.text(wire.Error, 0, "unknown deed "+a.config.Do)
	}
}

// destroy does what ends a guest.
func (a *attacker) destroy(id uint32) bool {
	switch a.config.Do {
	case "loop":
		spin()
	case "hang":
		time.Sleep(time.Hour)
	case "exit":
		os.Exit(7)
	case "panic":
		panic("an attack")
	case "trap":
		trap()
	case "overflow":
		_ = a.text(wire.Error, id, fmt.Sprint(overflow(1)))
	case "give-up":
		_ = a.text(wire.Error, 0, "the attacker gives up")
		time.Sleep(time.Hour)
	default:
		return false
	}
	return true
}

// spin computes for ever.
func spin() {
	for i := uint64(1); i != 0; i = i*6364136223846793005 | 1 {
	}
}

// overflow needs a frame of the stack for each call of itself.
func overflow(n uint64) uint64 {
	var frame [64]uint64
	for i := range frame {
		frame[i] = n * uint64(i)
	}
	if n == 0 { // never, but for the compiler's sake
		return 0
	}
	return overflow(n+1) + frame[n%64]
}

// exhaust wants more than there is.
func (a *attacker) exhaust(id uint32) bool {
	switch a.config.Do {
	case "memory":
		var hoard [][]byte
		for range a.config.Size {
			hoard = append(hoard, bytes.Repeat([]byte{1}, 1<<20))
		}
		time.Sleep(time.Hour)
		_ = hoard[0]
	case "giant-return":
		a.answer(id, strings.Repeat("# x\n", a.config.Size/4))
	case "giant-message":
		_ = a.send(wire.Frame{Type: wire.Result, ID: id, Payload: make([]byte, a.config.Size)})
		time.Sleep(time.Hour)
	case "giant-error":
		_ = a.text(wire.Error, 0, strings.Repeat("x", a.config.Size))
		time.Sleep(time.Hour)
	case "giant-update":
		_ = a.text(wire.Groups, id, "[{}"+strings.Repeat(",{}", a.config.Size/3)+"]")
		time.Sleep(time.Hour)
	case "giant-targets":
		_ = a.text(wire.Groups, id, `[{"source":"a","targets":["x:1"`+strings.Repeat(`,"x:1"`, a.config.Size/6)+"]}]")
		time.Sleep(time.Hour)
	case "update-flood":
		for i := 0; ; i++ {
			_ = a.text(wire.Groups, id, fmt.Sprintf(`[{"source":"s%d","targets":["127.0.0.1:1"]}]`, i))
		}
	case "log-flood":
		line := []byte(strings.Repeat("x", 99) + "\n")
		for range a.config.Size {
			_, _ = os.Stderr.Write(line)
		}
	case "log-line":
		part := bytes.Repeat([]byte("y"), 1<<16)
		for range a.config.Size {
			_, _ = os.Stderr.Write(part)
		}
	case "stdout-flood":
		part := bytes.Repeat([]byte("z"), 1<<16)
		for range a.config.Size {
			_, _ = os.Stdout.Write(part)
		}
	case "goroutines":
		for range a.config.Size {
			go func() { time.Sleep(time.Hour) }()
		}
		time.Sleep(time.Hour)
	case "descriptors":
		a.answer(id, descriptors(a.config.Size))
	case "file-flood":
		a.flood(wire.FileRead, a.config.Files[0])
	case "watch-flood":
		a.flood(wire.FileWatch, "")
	case "http-flood":
		a.flood(wire.HTTPRequest, "GET "+a.config.URLs[0]+"\n\n")
	case "dns-flood":
		a.flood(wire.DNSLookup, "A example.invalid")
	default:
		return false
	}
	return true
}

// flood sends requests without waiting for an answer.
func (a *attacker) flood(t wire.Type, payload string) {
	for i := range a.config.Size {
		if a.text(t, uint32(i+1), payload) != nil {
			break
		}
	}
	time.Sleep(time.Hour)
}

// descriptors opens what it can, and says how much that was.
func descriptors(n int) string {
	path := os.DevNull
	if sandboxed {
		path = wire.EventsPath
	}
	var held []*os.File
	for range n {
		f, err := os.Open(path)
		if err != nil {
			break
		}
		held = append(held, f)
	}
	return fmt.Sprintf("attacker_descriptors %d\n", len(held))
}

// confuse breaks the rules of the protocol.
func (a *attacker) confuse(id uint32) bool {
	junk := func(t wire.Type, id uint32, text string) { _ = a.text(t, id, text) }
	switch a.config.Do {
	case "frame-hello":
		junk(wire.Hello, 0, "{}")
	case "frame-ready":
		junk(wire.Ready, 0, "")
	case "frame-start":
		junk(wire.Start, 0, "exporter\n\n{}")
	case "frame-call":
		junk(wire.Call, 9, "collect\n\n")
	case "frame-result":
		junk(wire.Result, 4711, "x")
	case "frame-twice":
		a.answer(id, "")
		junk(wire.Result, id, "")
	case "frame-groups":
		junk(wire.Groups, 4711, "[]")
	case "frame-groups-json":
		junk(wire.Groups, id, `[{"targets": {}}]`)
	case "frame-done":
		junk(wire.Done, 0, "")
	case "frame-unknown":
		junk(0xdeadbeef, 0xffffffff, "x")
	case "frame-request-id":
		junk(wire.FileWatch, 1, "")
		junk(wire.FileWatch, 1, "")
	case "frame-read":
		junk(wire.HTTPRequest, 1, "GET "+a.config.URLs[0]+"\n\n")
		junk(wire.HTTPRead, 1, "")
		junk(wire.HTTPRead, 1, "")
	case "frame-garbage":
		r := rand.New(rand.NewPCG(uint64(a.config.Size), 0)) //nolint:gosec // garbage
		for range 10_000 {
			b := make([]byte, r.IntN(200))
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			_ = a.send(wire.Frame{Type: wire.Type(r.IntN(400)), ID: r.Uint32N(5), Payload: b})
		}
	default:
		return false
	}
	return true
}

// reach tries what it may not have, and says what it got: 1 for each that it reached.
func (a *attacker) reach() string {
	var out strings.Builder
	for i, name := range a.config.Try {
		t, payload := wire.FileRead, name
		if strings.HasPrefix(name, "http") {
			t, payload = wire.HTTPRequest, "GET "+name+"\n\n"
		}
		_ = a.text(t, uint32(i+1), payload)
		f, err := a.recv()
		for err == nil && (f.Type == wire.Cancel || f.Type == wire.Call) {
			if f.Type == wire.Call {
				a.calls[f.ID] = true
			}
			a.answer(f.ID, "")
			f, err = a.recv()
		}
		if err != nil {
			return ""
		}
		got := 0
		if f.Type == wire.FileData || f.Type == wire.HTTPHead && bytes.HasPrefix(f.Payload, []byte("200")) {
			got = 1
		}
		if f.Type == wire.HTTPHead { // The body stays unread, and the number is used again.
			_ = a.text(wire.HTTPClose, uint32(i+1), "")
		}
		fmt.Fprintf(&out, "attacker_reached{what=%q,answer=%q} %d\n", name, printable(f.Payload), got)
	}
	return out.String()
}

// open does what reach does, past the protocol.
func (a *attacker) open() string {
	var out strings.Builder
	for _, name := range a.config.Try {
		b, err := os.ReadFile(name)
		got := 0
		if err == nil {
			got = 1
		}
		fmt.Fprintf(&out, "attacker_reached{what=%q,answer=%q} %d\n", name, printable(b), got)
	}
	return out.String()
}

func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return ' '
		}
		return r
	}, string(b[:min(len(b), 250)]))
}
