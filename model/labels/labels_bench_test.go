package labels

import (
	"fmt"
	"strings"
	"testing"
)

func nodeLabels() Labels {
	return FromStrings("__name__", "node_cpu_seconds_total", "cpu", "3", "instance", "localhost:9100", "job", "node", "mode", "idle")
}

func BenchmarkGet(b *testing.B) {
	ls := nodeLabels()
	for _, name := range []string{"__name__", "instance", "mode", "missing"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = ls.Get(name)
			}
		})
	}
}

func BenchmarkCompare(b *testing.B) {
	x := nodeLabels()
	for _, c := range []struct {
		name  string
		other Labels
	}{
		{"equal", FromStrings("__name__", "node_cpu_seconds_total", "cpu", "3", "instance", "localhost:9100", "job", "node", "mode", "idle")},
		{"last-differs", FromStrings("__name__", "node_cpu_seconds_total", "cpu", "3", "instance", "localhost:9100", "job", "node", "mode", "user")},
		{"first-differs", FromStrings("__name__", "node_disk_bytes_total", "cpu", "3", "instance", "localhost:9100")},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = Compare(x, c.other)
			}
		})
	}
}

func BenchmarkAppendKey(b *testing.B) {
	ls := nodeLabels()
	names := []string{"instance", "job"}
	buf := make([]byte, 0, 256)
	b.Run("by", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf = ls.AppendKeyBy(buf[:0], names)
		}
	})
	b.Run("without", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf = ls.AppendKeyWithout(buf[:0], names)
		}
	})
	b.Run("drop-name", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = ls.DropMetricName()
		}
	})
	b.Run("keep", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = ls.KeepSorted(names)
		}
	})
}

// BenchmarkBuilder measures what relabelling and scraping do to a set.
func BenchmarkBuilder(b *testing.B) {
	base := nodeLabels()
	meta := NewBuilder(base)
	for i := range 20 {
		meta.Set(fmt.Sprintf("__meta_kubernetes_pod_label_%d", i), strings.Repeat("v", i+1))
	}
	target := meta.Labels()
	for _, c := range []struct {
		name string
		base Labels
		f    func(*Builder)
	}{
		{"unchanged", base, func(*Builder) {}},
		{"set-same", base, func(b *Builder) { b.Set("job", "node") }},
		{"add", base, func(b *Builder) { b.Set("cluster", "eu-1").Set("zone", "a") }},
		{"replace", base, func(b *Builder) { b.Set("instance", "host-1") }},
		{"drop", base, func(b *Builder) { b.Del("mode") }},
		{"drop-meta", target, func(b *Builder) {
			b.Range(func(name, _ string) {
				if strings.HasPrefix(name, MetaPrefix) {
					b.Del(name)
				}
			})
		}},
		{"keep", target, func(b *Builder) { b.Keep("job", "instance") }},
	} {
		b.Run(c.name, func(b *testing.B) {
			bld := NewBuilder(c.base)
			b.ReportAllocs()
			for b.Loop() {
				bld.Reset(c.base)
				c.f(bld)
				_ = bld.Labels()
			}
		})
	}
}

func BenchmarkScratchBuilder(b *testing.B) {
	var pairs []Label
	for name, value := range nodeLabels().All() {
		pairs = append(pairs, Label{name, value})
	}
	var sb ScratchBuilder
	b.ReportAllocs()
	for b.Loop() {
		sb.Reset()
		for _, p := range pairs {
			sb.Add(p.Name, p.Value)
		}
		sb.Sort()
		_ = sb.Labels()
	}
}
