package plugin_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/host/plugin/internal/runtimetest"
	"github.com/narthex-io/narthex/sdk"
)

// BenchmarkParser has the first-party parsers read a megabyte in each of the places. What counts is cpu-ms/MB, of this process
// and its children together, which other work on the machine does not change.
func BenchmarkParser(b *testing.B) {
	guests, err := runtimetest.NewGuests()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = guests.Close() })
	binary := guests.Host(b)
	for _, parser := range []struct {
		name, config string
		body         []byte
	}{
		{"parser-influx", `{}`, lineBody()},
		{"parser-json", `{"metrics": [{"name": "queue", "path": "$.queues[*]", "labels": {"queue": "@.name", "zone": "@.zone"},
			"values": {"length": "@.length", "age_seconds": "@.age_seconds", "consumers": "@.consumers"}}]}`, jsonBody()},
	} {
		for _, place := range []string{"inline", "worker", "process"} {
			b.Run("plugin="+parser.name+"/place="+place, func(b *testing.B) {
				path, worker := guests.Compiled(b, "./plugins/"+parser.name), ""
				switch place {
				case "worker":
					worker = binary
				case "process":
					path = guests.Native(b, "./plugins/"+parser.name)
				}
				dir := b.TempDir()
				named := filepath.Join(dir, parser.name+strings.TrimSuffix(filepath.Ext(path), ".bin"))
				if err := os.Link(path, named); err != nil {
					b.Fatal(err)
				}
				c, err := plugin.New(plugin.Options{Directories: []string{dir}, CacheDir: guests.CacheDir(), Worker: worker})
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = c.Close() }()
				measureParser(b, c, plugin.Use{Kind: sdk.KindParser, Plugin: parser.name, Config: []byte(parser.config)}, parser.body)
			})
		}
	}
}

func measureParser(b *testing.B, c *plugin.Catalogue, use plugin.Use, body []byte) {
	b.Helper()
	ch, err := c.Prepare(b.Context(), plugin.Config{}, []plugin.Use{use})
	if err != nil {
		b.Fatal(err)
	}
	ch.Apply()
	p := ch.Parser(0)
	if err := p.Parse(b.Context(), body, "", io.Discard); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body)))
	before := cpuMillis(b)
	for b.Loop() {
		if err := p.Parse(b.Context(), body, "", io.Discard); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric((cpuMillis(b)-before)/float64(b.N)/(float64(len(body))/1e6), "cpu-ms/MB")
}

// cpuMillis returns the processor time of this process and its children that run.
func cpuMillis(b *testing.B) float64 {
	b.Helper()
	const millisPerTick = 10
	own, total := strconv.Itoa(os.Getpid()), 0
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		b.Skip("no /proc to read processor time from")
	}
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // It has ended.
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		if fields[1] != own && filepath.Base(filepath.Dir(file)) != own {
			continue
		}
		for _, ticks := range fields[11:13] {
			n, err := strconv.Atoi(ticks)
			if err != nil {
				b.Fatal(err)
			}
			total += n
		}
	}
	return float64(total * millisPerTick)
}

func lineBody() []byte {
	var out bytes.Buffer
	for i := range 7500 {
		fmt.Fprintf(&out, "cpu,host=web-%04d,region=eu-west-1,cpu=cpu%d usage_user=%d.25,usage_system=1.5,usage_idle=%di,interrupts=%du 1700000000000000000\n",
			i/8, i%8, i%100, i, i*7)
	}
	return out.Bytes()
}

func jsonBody() []byte {
	var out bytes.Buffer
	for i := range 9500 {
		separator := ","
		if i == 0 {
			separator = `{"queues":[`
		}
		fmt.Fprintf(&out, `%s{"name":"queue-%d","zone":"eu-west-1","length":%d,"age_seconds":%d.5,"consumers":%d,"state":"running"}`,
			separator, i, i, i, i%7)
	}
	out.WriteString("]}")
	return out.Bytes()
}
