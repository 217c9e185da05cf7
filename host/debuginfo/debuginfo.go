// Package debuginfo collects what a server says about its own state into one archive, to be looked at elsewhere.
//
// Start with [Collect]. What the pages hold is not looked into.
package debuginfo

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"time"

	"github.com/narthex-io/narthex/host/apiclient"
)

// Page is a page of a server that becomes a file of an archive.
type Page struct{ Path, File string }

// Profiles are the pages with profiles. Those of the processor and the trace take the given time each, in whole seconds.
func Profiles(seconds string) []Page {
	return []Page{
		{"debug/pprof/goroutine", "goroutine.pb"},
		{"debug/pprof/heap", "heap.pb"},
		{"debug/pprof/threadcreate", "threadcreate.pb"},
		{"debug/pprof/block", "block.pb"},
		{"debug/pprof/mutex", "mutex.pb"},
		{"debug/pprof/profile?seconds=" + seconds, "cpu.pb"},
		{"debug/pprof/trace?seconds=" + seconds, "trace.pb"},
	}
}

// Metrics is the page with the server's own metrics.
func Metrics() []Page { return []Page{{"metrics", "metrics.txt"}} }

// Collect gets pages, one after the other, and writes those that it gets to w as a compressed archive; begin is called
// before each. It returns how many those are. The errors of the others are joined; the archive is complete all the same,
// unless writing it fails.
func Collect(ctx context.Context, client *apiclient.Client, pages []Page, w io.Writer, begin func(Page)) (got int, err error) {
	packed := gzip.NewWriter(w)
	archive := tar.NewWriter(packed)
	var missing []error
	for _, p := range pages {
		begin(p)
		var content bytes.Buffer
		if err := client.Fetch(ctx, p.Path, &content); err != nil {
			missing = append(missing, err)
			continue
		}
		header := &tar.Header{Name: p.File, Mode: 0o644, Size: int64(content.Len()), ModTime: time.Now(), Typeflag: tar.TypeReg}
		if err := archive.WriteHeader(header); err != nil {
			return got, err
		}
		if _, err := content.WriteTo(archive); err != nil {
			return got, err
		}
		got++
	}
	return got, errors.Join(errors.Join(missing...), archive.Close(), packed.Close())
}
