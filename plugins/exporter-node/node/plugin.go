//go:build linux

// Package node measures the machine it runs on: the collectors that node_exporter runs on Linux by default, and textfile,
// systemd and processes, with node_exporter's metric names, labels and types.
//
// Start with [Plugin]; [New] makes the exporter from its config, catalogue.go lists the collectors, and one file for each
// says which metrics come from where. A collector that fails, or whose subject the machine lacks, is reported in
// node_scrape_collector_success and leaves the others alone.
//
// The package serves nothing over HTTP and exports nothing about its own process: both are the host's business.
package node

import (
	"context"
	"log/slog"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/narthex-io/narthex/sdk"
)

// version is the plugin's own.
const version = "0.1.0"

// Plugin describes the exporter for guest.Main.
func Plugin() sdk.Plugin {
	return sdk.Plugin{
		Manifest: sdk.Manifest{
			Name:    "exporter-node",
			Version: version,
			Kinds:   []sdk.Kind{sdk.KindExporter},
		},
		NewExporter: New,
	}
}

// New makes an exporter from the plugin's config. An error names the field that is wrong.
func New(raw sdk.Config, host sdk.Host) (sdk.Exporter, error) {
	cfg, err := parseConfig(raw)
	if err != nil {
		return nil, err
	}
	log := host.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	e, err := newExporter(cfg, log, system{
		now:    time.Now,
		statfs: unix.Statfs,
		uname:  unix.Uname,
		links:  dumpLinks,

		neighbours: dumpNeighbours,
		adjtimex:   unix.Adjtimex,

		btrfsDevices: dumpBtrfsDevices,
		systemd:      dialSystemd,
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// system is what the collectors ask the machine for besides files.
type system struct {
	now    func() time.Time
	statfs func(path string, buf *unix.Statfs_t) error
	uname  func(buf *unix.Utsname) error
	links  func() ([]link, error)

	neighbours func() ([]neighbour, error)
	adjtimex   func(buf *unix.Timex) (state int, err error)

	systemd      func(context.Context) (systemdBus, error)
	btrfsDevices func(mountPoint string) (fsid string, devices []btrfsDevice, err error)
}

// build says which build of the plugin this is.
type build struct{ version, revision, goVersion, goarch string }

// currentBuild reads what the go command stamped into the binary; the revision may be empty.
func currentBuild() build {
	b := build{version: version, goVersion: runtime.Version(), goarch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.revision = s.Value
		}
	}
	return b
}
