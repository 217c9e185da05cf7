package api

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/narthex-io/narthex/host/web/notices"
)

func (a *api) notifications(*http.Request) (*answer, error) {
	active := a.Notices.Active()
	if active == nil {
		active = []notices.Notice{}
	}
	return &answer{data: active}, nil
}

// liveNotifications sends the notices as server-sent events until the client goes or the server stops.
func (a *api) liveNotifications(w http.ResponseWriter, r *http.Request) {
	a.cors(w, r)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	events, end, ok := a.Notices.Subscribe()
	if !ok {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	defer end()
	flusher := http.NewResponseController(w)
	w.WriteHeader(http.StatusOK)
	for {
		if err := flusher.Flush(); err != nil {
			a.Logger.Debug("notification not sent", "err", err)
			return
		}
		select {
		case n, open := <-events:
			if !open {
				return
			}
			text, err := json.Marshal(n)
			if err == nil {
				_, err = fmt.Fprintf(w, "data: %s\n\n", text)
			}
			if err != nil {
				a.Logger.Debug("notification not sent", "err", err)
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}
