package main

import (
	"encoding/json"
	"os"
	"strings"
	"time"

	"github.com/narthex-io/narthex/sdk/wire"
)

// hello says who the guest is: the truth, or the lie that its name asks for, such as exporter-lie-abi.
func (a *attacker) hello(name string) error {
	_, family, _ := strings.Cut(name, "-")
	family = strings.ReplaceAll(family, "-", "_")
	m := map[string]any{
		"abi": wire.ABI, "name": name, "version": "0.1",
		"kinds":         []string{"exporter", "discovery", "notify", "parser", "auth-outbound", "auth-inbound"},
		"keys":          []string{family + "_sd_configs", family + "_notify_configs", family + "_auth"},
		"content_types": []string{"application/x-attack"},
		"shared":        shared,
		"asks":          map[string]any{"http": []string{"urls[*]"}, "files": []string{"files[*]"}},
	}
	_, lie, lies := strings.Cut(name, "-lie-")
	if lies {
		delete(m, "keys")
	}
	switch lie {
	case "abi":
		m["abi"] = 2
	case "name":
		m["name"] = "sd-file"
	case "path":
		m["name"] = "../../etc/passwd"
	case "kinds":
		m["kinds"] = []string{"emperor"}
	case "nokinds":
		m["kinds"] = []string{}
	case "notexporter":
		m["kinds"] = []string{"discovery"}
	case "keys":
		m["keys"] = []string{"scrape_configs"}
	case "asks":
		m["asks"] = map[string]any{"files": []string{"a[*][*]..b"}}
	case "json":
		return a.text(wire.Hello, 0, strings.Repeat("{", 1000))
	case "huge":
		return a.text(wire.Hello, 0, `{"abi":1,"name":"`+strings.Repeat("x", 30<<20)+`"}`)
	case "deep":
		return a.text(wire.Hello, 0, strings.Repeat("[", 1<<20))
	case "ready":
		return a.text(wire.Ready, 0, "")
	case "silent":
		time.Sleep(time.Hour)
	case "loop":
		spin()
	case "exit":
		os.Exit(3)
	case "trap":
		trap()
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := a.text(wire.Hello, 0, string(text)); err != nil {
		return err
	}
	if lie == "twice" {
		return a.text(wire.Hello, 0, string(text))
	}
	return nil
}
