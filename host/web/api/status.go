package api

import (
	"net/http"
	"time"
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
