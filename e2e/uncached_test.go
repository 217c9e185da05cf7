//go:build e2e && linux

package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSwapUncached exchanges a discovery and a parser ten times for modules that were never compiled, which takes seconds each time, while
// jobs are scraped five times a second. No scrape fails, because it is not the server that compiles.
func TestSwapUncached(t *testing.T) {
	const swaps, interval = 10, 200 * time.Millisecond
	control, plugins := newRecorder(t), t.TempDir()
	all := slices.DeleteFunc(swappedPlugins(t), func(p *swapped) bool { return p.name != "sd-found" && p.name != "parser-swap" })
	config := "global: {scrape_failure_log_file: failures}\nscrape_configs:\n" + staticJob("control", interval.String(), control.address)
	for _, p := range all {
		config += strings.ReplaceAll(p.job, swapInterval.String(), interval.String())
		p.install(t, plugins, 0)
	}
	s := start(t, options{config: config, plugins: plugins, args: []string{"--log.level=debug"}})
	digests := map[string]string{}
	for range swaps {
		before := control.count()
		for _, p := range all {
			p.versions[0] = unseen(t, p.versions[0])
			p.install(t, plugins, 0)
		}
		if status, body := s.reload(); status != http.StatusOK {
			t.Fatalf("reload answers %d %s", status, body)
		}
		for _, p := range all {
			info := s.plugin(p.name)
			if info.State != "ready" || info.LastError != "" || info.Digest == digests[p.name] {
				t.Fatalf("%s is listed as %+v", p.name, info)
			}
			digests[p.name] = info.Digest
		}
		t.Logf("a swap took the time of %d scrapes", control.count()-before)
	}
	for _, p := range all {
		p.target.awaitMore(t, 2)
	}
	for _, q := range []string{"0.5", "0.99", "1"} {
		for _, found := range s.query(`quantile_over_time(` + q + `, scrape_duration_seconds{job="control"}[10m])`) {
			t.Logf("scrapes of the control job take, at the quantile %s, %.1f ms", q, found.Value.v*1e3)
		}
	}
	stall := control.longestStall()
	t.Logf("timers here were late by up to %v; the server's peak memory is %d MiB", stall, peakKiB(t, s.cmd.Process.Pid)>>10)
	log, err := os.ReadFile(s.log)
	if err != nil || bytes.Contains(log, []byte("compiling a module here")) {
		t.Errorf("the server compiles modules itself, %v", err)
	}
	wantNone(t, filepath.Join(s.dir, "failures"), stall > interval/4)
	wantSteady(t, s, control, all)
	compiled, err := filepath.Glob(filepath.Join(cache, "compiled", ".tmp-*"))
	if err != nil || len(compiled) > 0 {
		t.Errorf("compiling left %v behind, %v", compiled, err)
	}
}

// wantNone looks for scrapes that failed. Those that are late are excused if the machine has kept this process waiting, too.
func wantNone(t *testing.T, log string, busy bool) {
	t.Helper()
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	late, count := regexp.MustCompile(`context deadline exceeded|Client.Timeout`), 0
	for line := range strings.Lines(string(text)) {
		if late.MatchString(line) {
			count++
		}
		if !busy || !late.MatchString(line) {
			t.Errorf("a scrape failed: %s", line)
		}
	}
	t.Logf("%d scrapes were late", count)
}

// unseen returns a module that does the same as code, and that no cache knows: it has another type of functions, which none is of.
func unseen(t *testing.T, code []byte) []byte {
	t.Helper()
	const preamble, sectionType, function, parameters = 8, 1, 0x60, 64
	for rest := code[preamble:]; len(rest) > 0; {
		size, n := binary.Uvarint(rest[1:])
		if n <= 0 || size > uint64(len(rest)-1-n) {
			break
		}
		body, after := rest[1+n:][:size], rest[1+n+int(size):]
		if rest[0] != sectionType {
			rest = after
			continue
		}
		types, n := binary.Uvarint(body)
		grown := append(binary.AppendUvarint(nil, types+1), body[n:]...)
		grown = append(grown, function, parameters)
		for range parameters {
			grown = append(grown, 0x7e+byte(rand.N(2))) // i64, i32
		}
		grown = append(grown, 0)
		out := append(slices.Clone(code[:len(code)-len(rest)]), sectionType)
		out = binary.AppendUvarint(out, uint64(len(grown)))
		return slices.Concat(out, grown, after)
	}
	t.Fatal(fmt.Errorf("the module has no section of types"))
	return nil
}
