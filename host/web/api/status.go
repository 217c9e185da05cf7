package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
)

// RuntimeInfo is the answer of /status/runtimeinfo.
type RuntimeInfo struct {
	StartTime           time.Time `json:"startTime"`
	CWD                 string    `json:"CWD"`
	Hostname            string    `json:"hostname"`
	ServerTime          time.Time `json:"serverTime"`
	ReloadConfigSuccess bool      `json:"reloadConfigSuccess"`
	LastConfigTime      time.Time `json:"lastConfigTime"`
	CorruptionCount     int64     `json:"corruptionCount"`
	GoroutineCount      int       `json:"goroutineCount"`
	GOMAXPROCS          int       `json:"GOMAXPROCS"`
	GOMEMLIMIT          int64     `json:"GOMEMLIMIT"`
	GOGC                string    `json:"GOGC"`
	GODEBUG             string    `json:"GODEBUG"`
	StorageRetention    string    `json:"storageRetention"`
}

// BuildInfo is the answer of /status/buildinfo. Version is that of the Prometheus whose API this is, since clients
// derive from it what they may ask; NarthexVersion is the server's own.
type BuildInfo struct {
	Version        string `json:"version"`
	Revision       string `json:"revision"`
	Branch         string `json:"branch"`
	BuildUser      string `json:"buildUser"`
	BuildDate      string `json:"buildDate"`
	GoVersion      string `json:"goVersion"`
	NarthexVersion string `json:"narthexVersion"`
}

func (a *api) statusConfig(*http.Request) (*answer, error) {
	return &answer{data: map[string]string{"yaml": a.Config()}}, nil
}

func (a *api) statusFlags(*http.Request) (*answer, error) { return &answer{data: a.Flags}, nil }

func (a *api) statusRuntime(*http.Request) (*answer, error) { return &answer{data: a.Runtime()}, nil }

func (a *api) statusBuild(*http.Request) (*answer, error) { return &answer{data: a.Build}, nil }

// ReplayStatus is the answer of /status/walreplay: the first and the last segment of the write-ahead log, and the one that
// the start is reading, or has read last.
type ReplayStatus struct {
	Min     int `json:"min"`
	Max     int `json:"max"`
	Current int `json:"current"`
}

func (a *api) statusReplay(*http.Request) (*answer, error) { return &answer{data: a.Replay()}, nil }

func (a *api) features(*http.Request) (*answer, error) { return &answer{data: a.Features()}, nil }

// selfMetrics answers with the server's own metrics as JSON, those whose name matches a pattern as a whole.
func (a *api) selfMetrics(r *http.Request) (*answer, error) {
	var pattern *regexp.Regexp
	if text := r.FormValue("metric_name_pattern"); text != "" {
		var err error
		if pattern, err = regexp.Compile("^(?:" + text + ")$"); err != nil {
			return nil, badData("invalid metric_name_pattern: %w", err)
		}
	}
	families, err := a.Gatherer.Gather()
	if err != nil {
		return nil, fmt.Errorf("error gathering self metrics: %w", err)
	}
	data := []json.RawMessage{}
	for _, f := range families {
		if pattern != nil && !pattern.MatchString(f.GetName()) {
			continue
		}
		text, err := protojson.Marshal(f)
		if err != nil {
			return nil, fmt.Errorf("error marshaling metric family %q: %w", f.GetName(), err)
		}
		data = append(data, text)
	}
	return &answer{data: data}, nil
}
