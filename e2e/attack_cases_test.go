//go:build e2e && linux

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

var (
	sandboxes = []string{"inline", "worker"}
	processes = []string{"worker", "process"}
)

// lie is a manifest that does not tell the truth, and what the server says about it.
type lie struct{ about, want string }

func (l lie) plugin() string { return "exporter-lie-" + l.about }

var lies = []lie{
	{"abi", "speaks ABI 2"},
	{"name", "named exporter-lie-name, but its manifest says sd-file"},
	{"path", `plugin name "../../etc/passwd"`},
	{"kinds", `unknown kind "emperor"`},
	{"nokinds", "no kind"},
	{"notexporter", "is not an exporter|of the kind discovery, not exporter"},
	{"keys", `claims the key "scrape_configs"`},
	{"asks", "field path"},
	{"json", "HELLO: .*invalid character"},
	{"huge", "plugin name|HELLO"},
	{"deep", "HELLO"},
	{"ready", "first frame is READY instead of HELLO"},
	{"twice", "HELLO instead of READY"},
	{"exit", `guest ended \(exit\)`},
	{"trap", `guest ended \((trap|exit)\)`},
	{"silent", "deadline|not ready within"},
	{"loop", "deadline|not ready within"},
}

// attacks are all cases.
func attacks(t *testing.T, x targets) []attack {
	t.Helper()
	var list []attack
	add := func(a attack) { list = append(list, a) }

	// What computes, waits, dies or overflows, in each call.
	for _, deed := range []struct{ do, name, reason string }{
		{"loop", "endless loop", `guest ended \(deadline\)`},
		{"hang", "hang", `guest ended \(deadline\)`},
		{"exit", "exit", `guest ended \(exit\): exit status 7`},
		{"panic", "panic", `guest ended \(exit\): exit status 2`},
		{"trap", "trap", `guest ended \((trap|exit)\)`},
		{"give-up", "giving up", "the attacker gives up"},
	} {
		add(attack{name: deed.name + " in collect", config: "{do: " + deed.do + "}", reason: deed.reason})
		if deed.do != "loop" && deed.do != "hang" { // A discovery may take as long as it likes.
			add(attack{name: deed.name + " in run", kind: "discovery", config: "{do: " + deed.do + "}", reason: deed.reason})
		}
		add(attack{name: deed.name + " in parse", kind: "parser", body: x.allowed.Listener.Addr().String(), config: "{do: " + deed.do + "}", reason: deed.reason})
		add(attack{name: deed.name + " in sign", kind: "sign", body: x.allowed.Listener.Addr().String(), config: "{do: " + deed.do + "}", reason: deed.reason})
		add(attack{name: deed.name + " in authenticate", kind: "auth", config: "{do: " + deed.do + "}", settings: "limits: {call_timeout: 300ms}", reason: deed.reason, on: askForMore})
		refused := strings.Replace(deed.reason, `guest ended \(deadline\)`, "not ready within", 1)
		add(attack{name: deed.name + " at start", config: "{in: start, do: " + deed.do + "}", refused: refused})
		if deed.do != "give-up" {
			add(attack{name: deed.name + " at stop", config: "{in: stop, do: " + deed.do + "}", alive: "attacker_up"})
		}
	}
	add(attack{name: "endless loop in run", kind: "discovery", config: fmt.Sprintf("{do: loop, target: '%s'}", x.allowed.Listener.Addr()), alive: `up{job="attack"}`})
	add(attack{name: "hang in run", kind: "discovery", config: fmt.Sprintf("{do: hang, target: '%s'}", x.allowed.Listener.Addr()), alive: `up{job="attack"}`})
	add(attack{name: "stack overflow in Go", config: "{do: overflow}", reason: `guest ended \((memory|exit|trap|deadline)\)`})
	c := func(name, deed, reason string) {
		add(attack{name: name + " in C", places: sandboxes, plugin: "exporter-c", config: "{do: " + deed + "}", reason: reason})
	}
	c("trap", "trap", `guest ended \(trap\): .*unreachable`)
	c("stack overflow of the machine", "deep", `guest ended \((trap|memory)\): .*stack overflow`)
	c("stack overflow of the memory", "wide", `guest ended \(trap\): .*out of bounds memory access`)
	c("endless loop", "loop", `guest ended \(deadline\)`)
	c("endless loop of calls of the host", "spin", `guest ended \(deadline\)`)

	// What takes too much.
	add(attack{name: "memory bomb", config: "{do: memory, size: 100000}", settings: "limits: {memory: 64MiB}", places: sandboxes, reason: `guest ended \(memory\)`})
	add(attack{name: "memory bomb", config: "{do: memory, size: 100000}", settings: "limits: {memory: 64MiB}", places: []string{"process"}, reason: `guest ended \((memory|trap|exit)\)`})
	add(attack{name: "goroutine flood", config: "{do: goroutines, size: 10000000}", places: sandboxes, reason: `guest ended \((memory|deadline|log_limit)\)`})
	add(attack{name: "giant return", config: "{do: giant-return, size: 20000000}", reason: "20000000 bytes of output are more than the limit"})
	add(attack{name: "giant message", config: "{do: giant-message, size: 70000000}", settings: "limits: {memory: 512MiB}", reason: `guest ended \((message_limit|deadline)\)`})
	add(attack{name: "giant update of empty groups", kind: "discovery", config: "{do: giant-update, size: 60000000}", settings: "limits: {memory: 512MiB}", reason: `guest ended \(target_limit\)`})
	add(attack{name: "giant update of targets", kind: "discovery", config: "{do: giant-targets, size: 60000000}", settings: "limits: {memory: 512MiB}", reason: `guest ended \(target_limit\)`})
	add(attack{name: "flood of updates", kind: "discovery", config: "{do: update-flood}", settings: "limits: {targets: 20000}", reason: `guest ended \(target_limit\): found 20001 targets`})
	add(attack{name: "giant error", config: "{do: giant-error, size: 60000000}", settings: "limits: {memory: 512MiB}", reason: `guest ended \(error\): x{100}`})
	add(attack{name: "log flood", config: "{do: log-flood, size: 100000000}", reason: `guest ended \((log_limit|deadline)\)`})
	add(attack{name: "endless log line", config: "{do: log-line, size: 2000}", alive: "attacker_up or count_over_time(up{job='attack'}[1m]) > 5"})
	add(attack{name: "flood of standard output", config: "{do: stdout-flood, size: 2000}", alive: "attacker_up or count_over_time(up{job='attack'}[1m]) > 5"})
	add(attack{name: "descriptor flood", config: "{do: descriptors, size: 1000000}", places: sandboxes, alive: "attacker_descriptors < 100"})
	flood := func(name, do, reason, more string) {
		add(attack{name: name, config: "{do: " + do + ", size: 100000" + more + "}", reason: `guest ended \(` + reason + `\)`})
	}
	files := ", files: ['" + filepath.Join(x.dir, "in", "good") + "']"
	flood("flood of file requests", "file-flood", "file_limit", files)
	flood("flood of watches", "watch-flood", "file_limit", files)
	flood("flood of HTTP requests", "http-flood", "request_limit", ", urls: ['"+x.allowed.URL+"/wait']")
	flood("flood of look-ups", "dns-flood", "request_limit", "")

	// What is not granted.
	var try []string
	for _, name := range []string{"in/../out/secret", "out/secret", "in/link", "in/folder/secret", "in/absolute", "in/loop", "in/proc", "in/root/etc/passwd", "in/pipe", "in"} {
		try = append(try, x.dir+"/"+name)
	}
	try = append(try, "/etc/passwd", "/proc/self/environ", "/proc/1/environ", "/proc/self/mem", "/proc/self/cwd/narthex.yml", "/dev/zero", "narthex.yml", "", "\\x00")
	names := "['" + strings.Join(try, "', '") + "']"
	add(attack{
		name: "files that are not granted", config: fmt.Sprintf("{do: reach, files: ['%s/in/*'], try: %s}", x.dir, names),
		alive: "sum(attacker_reached) == 0",
	})
	add(attack{name: "files past the host", places: sandboxes, config: "{do: open, try: " + names + "}", alive: "sum(attacker_reached) == 0"})
	add(attack{
		name: "HTTP that is not granted",
		config: fmt.Sprintf("{do: reach, urls: ['%s'], try: ['%s', '%[1]s/leave', '%[3]s', 'http://169.254.169.254/', 'http://localhost:1/', 'http://user@%[4]s/']}",
			x.allowed.URL, x.forbidden.URL, strings.Replace(x.forbidden.URL, "http://", "http://"+x.allowed.Listener.Addr().String()+"@", 1), x.forbidden.Listener.Addr()),
		alive: "sum(attacker_reached) == 0",
	})

	// What breaks the rules.
	for _, f := range []struct{ do, want string }{
		{"hello", "unexpected HELLO"},
		{"ready", "unexpected READY"},
		{"start", "unexpected START"},
		{"call", "unexpected CALL"},
		{"result", "RESULT for call 4711, which is not open"},
		{"twice", "which is not open"},
		{"groups", "GROUPS for call 4711"},
		{"done", "DONE without STOP"},
		{"unknown", "unexpected frame type"},
		{"request-id", "request id 1 is in use"},
		{"groups-json", "GROUPS"},
		{"garbage", `guest ended \(`},
	} {
		add(attack{name: "frame out of order: " + f.do, config: "{do: frame-" + f.do + ", size: 1}", reason: f.want})
	}
	add(attack{name: "frame out of order: read", config: "{do: frame-read, urls: ['" + x.allowed.URL + "/wait']}", reason: "before the last one was answered"})
	add(attack{name: "addresses that are not the guest's", places: sandboxes, config: "{do: wild}", alive: "count(attacker_errno == -21) == 3"})
	for _, l := range lies {
		add(attack{name: "manifest lies: " + l.about, places: []string{"inline", "process"}, plugin: l.plugin(), config: "{do: peace}", refused: l.want})
	}
	add(attack{name: "wrong digest", config: "{do: peace}", settings: "sha256: " + strings.Repeat("0", 64), refused: "pins 0000"})

	keys := t.TempDir()
	wantCommand(t, keys, narthex, "plugin", "keygen", "--no-password")
	add(attack{name: "no signature", config: "{do: peace}", args: []string{"--plugins.require-signature", "--plugins.trusted-key=" + filepath.Join(keys, "narthex.pub")}, refused: "it is not signed"})
	// Signals.
	add(attack{name: "SIGKILL", places: processes, config: "{do: peace}", on: signalChild(syscall.SIGKILL), reason: "signal: killed"})
	add(attack{name: "SIGSTOP", places: processes, config: "{do: peace}", on: signalChild(syscall.SIGSTOP), reason: `guest ended \(deadline\)`})
	add(attack{name: "SIGSEGV", places: processes, config: "{do: peace}", on: signalChild(syscall.SIGSEGV), reason: `guest ended \((exit|trap)\)`})
	return list
}
