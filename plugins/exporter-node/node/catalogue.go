//go:build linux

package node

import (
	"log/slog"
	"path/filepath"

	"github.com/prometheus/procfs"
	"github.com/prometheus/procfs/sysfs"
)

// sources are what collectors are made of.
type sources struct {
	cfg    config
	proc   procfs.FS
	sysfs  sysfs.FS
	system system
	log    *slog.Logger
}

// kind is a collector that the exporter has.
type kind struct {
	name     string
	make     func(sources) (collector, error)
	optional bool // It runs only when the operator asks for it.
}

// catalogue lists the collectors in the order in which they run: those that may have to wait, for a mount or for
// D-Bus, come last, so that what the others measure belongs to the start of the scrape.
func catalogue() []kind {
	return []kind{
		{name: "time", make: plain(func(s sources) collector { return clock{s.sysfs, s.system.now} })},
		{name: "cpu", make: fallible(func(s sources) (*cpu, error) { return newCPU(s.cfg, s.proc, s.sysfs) })},
		{name: "stat", make: plain(func(s sources) collector { return stat{s.cfg.Stat} })},
		{name: "schedstat", make: plain(func(s sources) collector { return schedstat{s.proc} })},
		{name: "loadavg", make: plain(func(s sources) collector { return loadavg{s.proc} })},
		{name: "pressure", make: plain(func(s sources) collector { return pressure{s.proc} })},
		{name: "meminfo", make: plain(func(s sources) collector { return meminfo{s.proc} })},
		{name: "vmstat", make: fallible(func(s sources) (vmstat, error) { return newVmstat(s.cfg) })},
		{name: "netdev", make: fallible(func(s sources) (*netdev, error) {
			return newNetdev(s.cfg, s.proc, s.system.links)
		})},
		{name: "netclass", make: fallible(newNetclass)},
		{name: "netstat", make: fallible(newNetstat)},
		{name: "sockstat", make: plain(func(s sources) collector { return sockstat{s.proc} })},
		{name: "softnet", make: plain(func(s sources) collector { return softnet{s.proc} })},
		{name: "udp_queues", make: plain(func(s sources) collector { return udpQueues{s.proc} })},
		{name: "conntrack", make: plain(func(s sources) collector { return conntrack{s.proc, s.cfg.PathProcfs} })},
		{name: "arp", make: fallible(newARP)},
		{name: "bonding", make: plain(func(s sources) collector { return bonding{s.cfg.PathSysfs} })},
		{name: "diskstats", make: fallible(func(s sources) (*diskstats, error) { return newDiskstats(s.cfg) })},
		{name: "uname", make: plain(func(s sources) collector { return uname{s.system.uname} })},
		{name: "filefd", make: plain(func(s sources) collector { return filefd{s.cfg.PathProcfs} })},
		{name: "entropy", make: plain(func(s sources) collector { return entropy{s.proc} })},
		{name: "timex", make: plain(func(s sources) collector { return timex{s.system.adjtimex} })},
		{name: "hwmon", make: fallible(newHwmon)},
		{name: "thermal_zone", make: plain(func(s sources) collector { return thermalZone{s.sysfs} })},
		{name: "edac", make: plain(func(s sources) collector { return edac{s.cfg.PathSysfs} })},
		{name: "cpufreq", make: plain(func(s sources) collector { return cpufreq{s.sysfs} })},
		{name: "kernel_hung", make: plain(func(s sources) collector { return kernelHung{s.proc} })},
		{name: "os", make: plain(newOSRelease)},
		{name: "dmi", make: plain(newDMI)},
		{name: "selinux", make: plain(func(s sources) collector {
			return selinux{procfs: s.cfg.PathProcfs, sysfs: s.cfg.PathSysfs, rootfs: s.cfg.PathRootfs}
		})},
		{name: "powersupplyclass", make: fallible(newPowerSupply)},
		{name: "rapl", make: plain(func(s sources) collector { return rapl{s.sysfs, s.cfg.Rapl.EnableZoneLabel} })},
		{name: "watchdog", make: plain(func(s sources) collector { return watchdog{s.sysfs} })},
		{name: "mdadm", make: plain(func(s sources) collector { return mdadm{s.proc, s.sysfs} })},
		{name: "nvme", make: plain(func(s sources) collector { return nvme{s.sysfs} })},
		{name: "dmmultipath", make: fallible(newDMMultipath)},
		{name: "tapestats", make: fallible(newTapestats)},
		{name: "fibrechannel", make: plain(func(s sources) collector { return fibrechannel{s.sysfs} })},
		{name: "infiniband", make: fallible(newInfiniband)},
		{name: "ipvs", make: fallible(newIPVS)},
		{name: "nfs", make: fallible(newNFSClient)},
		{name: "nfsd", make: fallible(newNFSServer)},
		{name: "xfs", make: fallible(newXFS)},
		{name: "zfs", make: plain(func(s sources) collector { return zfs{filepath.Join(s.cfg.PathProcfs, "spl/kstat/zfs")} })},
		{name: "bcache", make: fallible(newBcache)},
		{name: "bcachefs", make: fallible(newBcachefs)},
		{name: "btrfs", make: fallible(newBtrfs)},
		{name: "textfile", make: plain(newTextfile)},
		{name: "processes", optional: true, make: plain(func(s sources) collector {
			return processes{s.proc, s.cfg.PathProcfs}
		})},
		{name: "filesystem", make: fallible(func(s sources) (*filesystem, error) {
			return newFilesystem(s.cfg, s.proc, s.system.statfs)
		})},
		{name: "systemd", optional: true, make: fallible(newSystemd)},
	}
}

func plain(make func(sources) collector) func(sources) (collector, error) {
	return func(s sources) (collector, error) { return make(s), nil }
}

func fallible[C collector](make func(sources) (C, error)) func(sources) (collector, error) {
	return func(s sources) (collector, error) { return make(s) }
}

// collectorNames lists all collectors in the order in which they run.
func collectorNames() []string {
	var names []string
	for _, k := range catalogue() {
		names = append(names, k.name)
	}
	return names
}

// defaultCollectors lists those that run when the config does not say which.
func defaultCollectors() []string {
	var names []string
	for _, k := range catalogue() {
		if !k.optional {
			names = append(names, k.name)
		}
	}
	return names
}
