// Package liar is a guest whose manifest is not true: one for each file name. Start with [Hello]; the guest itself is in cmd.
package liar

import (
	"fmt"
	"strings"
)

// Hello returns what the guest in a file of that name says about itself.
func Hello(name string) string {
	switch name {
	case "sd-other":
		return manifest("sd-another", "discovery", "other_sd_configs")
	case "sd-future":
		return `{"abi":2,"name":"sd-future","kinds":["discovery"],"keys":["future_sd_configs"]}`
	case "sd-no-json":
		return "name: sd-no-json"
	case "sd-list":
		return "[]"
	case "sd-types":
		return `{"abi":1,"name":"sd-types","kinds":"discovery"}`
	case "sd-kindless":
		return `{"abi":1,"name":"sd-kindless","keys":["kindless_sd_configs"]}`
	case "sd-poet":
		return manifest("sd-poet", "poet", "poet_sd_configs")
	case "sd-huge":
		return manifest("sd-huge", "discovery", strings.Repeat("x", 1<<20)+"_sd_configs")
	case "sd-many":
		return manifest("sd-many", "discovery", "many_sd_configs"+strings.Repeat(`","a_sd_configs`, 1000))
	case "sd-static":
		return manifest("sd-static", "discovery", "static_configs")
	case "sd-relabel":
		return manifest("sd-relabel", "discovery", "relabel_configs")
	case "auth-basic":
		return manifest("auth-basic", "auth-outbound", "basic_auth")
	case "sd-kind":
		return manifest("sd-kind", "exporter", "kind_sd_configs")
	case "sd-twice":
		return manifest("sd-twice", "discovery", `twice_sd_configs","twice_sd_configs`)
	case "sd-version":
		return `{"abi":1,"name":"sd-version","version":"1\n2","kinds":["discovery"],"keys":["version_sd_configs"]}`
	case "exporter-type":
		return `{"abi":1,"name":"exporter-type","kinds":["exporter"],"content_type":"text/plain\r\nSet-Cookie: a=b"}`
	}
	return manifest(name, "discovery", strings.TrimPrefix(name, "sd-")+"_sd_configs")
}

func manifest(name, kind, key string) string {
	return fmt.Sprintf(`{"abi":1,"name":%q,"kinds":[%q],"keys":["%s"]}`, name, kind, key)
}
