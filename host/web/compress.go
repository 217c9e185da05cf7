package web

import (
	"net/http"

	"github.com/klauspost/compress/gzhttp"
)

// compress answers in gzip where the client takes it and the answer is worth it.
func compress(h http.Handler) http.Handler { return gzhttp.GzipHandler(h) }
