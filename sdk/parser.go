package sdk

import (
	"context"
	"io"
)

// Parser turns what a target answers into metrics.
type Parser interface {
	// Parse reads one whole body and writes one complete exposition to w, in the format that the manifest's ContentType
	// names. contentType is the target's own, parameters included, and may be empty. An error fails the scrape that the body
	// belongs to and no other, so that it is better than half of the metrics; it is shown to the operator beside the
	// target. body belongs to the host and is read only until Parse returns. Parse may be called from several goroutines at
	// once, and stops early, with ctx's error, when ctx is done.
	Parse(ctx context.Context, body []byte, contentType string, w io.Writer) error
}
