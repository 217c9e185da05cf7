// Command attacker is a guest that attacks its host, for end-to-end tests: it speaks frames without the SDK, so that nothing keeps
// it to the rules. Its config says how to attack, and in which of the calls that it gets; see deeds.go. How it lies in its manifest
// is said by its name; see lies.go.
package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/narthex-io/narthex/sdk/wire"
)

// config says what to do. Its fields are those that the manifest asks for.
type config struct {
	// Do is the name of a deed.
	Do string `json:"do"`
	// In is the call in which it is done: start, or the default, whatever comes after it.
	In string `json:"in"`
	// URLs and Files are granted; Try are URLs or files that the guest tries to reach.
	URLs  []string `json:"urls"`
	Files []string `json:"files"`
	Try   []string `json:"try"`
	// Size is how large, or how often.
	Size int `json:"size"`
	// Target is what a discovery finds in peace.
	Target string `json:"target"`
}

// attacker is the guest's state.
type attacker struct {
	conn
	config config
	kind   string
	calls  map[uint32]bool // that are open
}

func main() {
	name := strings.TrimSuffix(filepath.Base(os.Args[0]), ".wasm")
	run(func(c conn) error {
		a := &attacker{conn: c, calls: map[uint32]bool{}}
		if err := a.hello(name); err != nil {
			return err
		}
		return a.loop()
	})
}

// loop serves the host until it says STOP.
func (a *attacker) loop() error {
	for {
		f, err := a.recv()
		if err != nil {
			return err
		}
		switch f.Type {
		case wire.Start:
			head, body, err := wire.ParseHead(f.Payload)
			if err != nil {
				return err
			}
			a.kind = head.Line
			if err := json.Unmarshal(body, &a.config); err != nil {
				return a.text(wire.Error, 0, err.Error())
			}
			if a.config.In == "start" {
				a.attack(0)
			}
			err = a.text(wire.Ready, 0, "")
			if err != nil {
				return err
			}
		case wire.Call:
			a.calls[f.ID] = true
			head, body, err := wire.ParseHead(f.Payload)
			if err != nil {
				return err
			}
			a.serve(f.ID, head.Line, string(body))
		case wire.Cancel:
			a.answer(f.ID, "")
		case wire.Stop:
			if a.config.In == "stop" {
				a.attack(0)
			}
			for id := range a.calls {
				a.answer(id, "")
			}
			return a.text(wire.Done, 0, "")
		}
	}
}

// serve answers a call in peace, unless this is the one to attack in.
func (a *attacker) serve(id uint32, method, body string) {
	if method == wire.MethodRun && a.config.Target != "" {
		_ = a.text(wire.Groups, id, `[{"source":"a","targets":["`+a.config.Target+`"]}]`)
	}
	if a.config.In == "" || a.config.In == "call" {
		a.attack(id)
	}
	switch method {
	case wire.MethodRun: // goes on until it is cancelled
	case wire.MethodParse:
		a.answer(id, body)
	case wire.MethodSign:
		a.answer(id, "signed\nX-Signed: yes\n\n")
	case wire.MethodAuthenticate:
		a.answer(id, "allow\nuser: attacker\n\n")
	case wire.MethodNotify:
		a.answer(id, "")
	default:
		a.answer(id, "attacker_up 1\n")
	}
}

// answer answers a call, once.
func (a *attacker) answer(id uint32, text string) {
	if a.calls[id] {
		delete(a.calls, id)
		_ = a.text(wire.Result, id, text)
	}
}

func (a *attacker) text(t wire.Type, id uint32, text string) error {
	return a.send(wire.Frame{Type: t, ID: id, Payload: []byte(text)})
}
