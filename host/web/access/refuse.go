package access

import (
	"encoding/json"
	"net/http"
	"strings"
)

// refuse answers a request that is not let through, in the shape of the API below /api.
func (g *Gate) refuse(w http.ResponseWriter, r *http.Request, why *refusal) {
	g.opts.Log.Debug("request refused", "status", why.status, "reason", why.reason, "method", r.Method, "path", r.URL.Path, "remote", r.RemoteAddr)
	for _, c := range why.challenges {
		w.Header().Add("WWW-Authenticate", c)
	}
	w.Header().Set("Cache-Control", "no-store")
	if !strings.HasPrefix(r.URL.Path, g.opts.Prefix+"/api/") {
		http.Error(w, why.reason, why.status)
		return
	}
	if g.opts.CORS != nil {
		g.opts.CORS(w, r)
	}
	body, err := json.Marshal(struct {
		Status    string `json:"status"`
		ErrorType string `json:"errorType"`
		Error     string `json:"error"`
	}{"error", errorType(why.status), why.reason})
	if err != nil {
		http.Error(w, why.reason, why.status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(why.status)
	if _, err := w.Write(body); err != nil {
		g.opts.Log.Debug("refusal not written", "err", err)
	}
}

// errorType sorts refusals as the API does its errors.
func errorType(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "unauthorized"
	case http.StatusForbidden:
		return "forbidden"
	case http.StatusServiceUnavailable:
		return "unavailable"
	default:
		return "bad_data"
	}
}
