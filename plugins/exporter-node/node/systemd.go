//go:build linux

package node

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	defaultUnitInclude = ".+"
	defaultUnitExclude = `.+\.(automount|device|mount|scope|slice)`
)

// systemd reports the state of systemd and its units, which it asks over D-Bus.
type systemd struct {
	cfg              systemdConfig
	include, exclude *regexp.Regexp
	version          *regexp.Regexp
	connect          func(context.Context) (systemdBus, error)
	log              *slog.Logger
}

// systemdBus is what is asked of systemd. All calls end with the context that it was made with.
type systemdBus interface {
	// manager returns a property of systemd itself, unit one of a unit's interfaces, such as Service.
	manager(property string) (any, error)
	unit(path, kind, property string) (any, error)
	units() ([]systemdUnit, error)
	close()
}

// systemdUnit is a unit in memory.
type systemdUnit struct{ name, load, active, path string }

// newSystemd anchors the expressions, unlike those of other collectors, as node_exporter does.
func newSystemd(s sources) (*systemd, error) {
	include, err := compile("systemd.unit_include", "^(?:"+s.cfg.Systemd.UnitInclude+")$")
	if err != nil {
		return nil, err
	}
	exclude, err := compile("systemd.unit_exclude", "^(?:"+s.cfg.Systemd.UnitExclude+")$")
	if err != nil {
		return nil, err
	}
	return &systemd{
		cfg: s.cfg.Systemd, include: include, exclude: exclude,
		version: regexp.MustCompile(`[0-9]{3,}(\.[0-9]+)?`),
		connect: s.system.systemd, log: s.log,
	}, nil
}

func (c *systemd) collect(ctx context.Context, _ readings, out *exposition) error {
	bus, err := c.connect(ctx)
	if err != nil {
		return fmt.Errorf("ask systemd over D-Bus: %w", err)
	}
	defer bus.close()
	c.addVersion(bus, out)
	all, err := bus.units()
	if err != nil {
		return fmt.Errorf("list units: %w", err)
	}
	addUnitSummary(all, out)
	for _, u := range all {
		if u.load == "loaded" && c.include.MatchString(u.name) && !c.exclude.MatchString(u.name) {
			c.addUnit(bus, u, out)
		}
	}
	state, err := bus.manager("SystemState")
	if err != nil {
		return fmt.Errorf("read systemd's state: %w", err)
	}
	out.gauge("node_systemd_system_running", "1 if the system is up and no unit has failed.", truth(state == "running"))
	return nil
}

func (c *systemd) addVersion(bus systemdBus, out *exposition) {
	version, _ := bus.manager("Version")
	text, _ := version.(string)
	number, err := strconv.ParseFloat(c.version.FindString(text), 64)
	if err != nil {
		number, text = 0, ""
	}
	out.gauge("node_systemd_version", "The version of systemd.", number, label{"version", text})

	virtualization, err := bus.manager("Virtualization")
	kind, ok := virtualization.(string)
	switch {
	case err != nil || !ok:
		kind = "unknown"
	case kind == "":
		kind = "none"
	}
	out.gauge("node_systemd_virtualization_info", "Always 1; the kind of virtual machine or container that this is.", 1,
		label{"virtualization_type", kind})
}

// unitStates lists the states that are reported even when no unit is in them.
func unitStates() []string {
	return []string{"activating", "active", "deactivating", "failed", "inactive"}
}

func addUnitSummary(units []systemdUnit, out *exposition) {
	summary := make(map[string]int)
	for _, state := range unitStates() {
		summary[state] = 0
	}
	for _, u := range units {
		summary[u.active]++
	}
	for _, state := range slices.Sorted(maps.Keys(summary)) {
		out.gauge("node_systemd_units", "Units in memory, by state.", float64(summary[state]), label{"state", state})
	}
}

// addUnit leaves out what this version of systemd does not know.
func (c *systemd) addUnit(bus systemdBus, u systemdUnit, out *exposition) {
	p := unitProperties{bus, u, c.log}
	kind := u.name[strings.LastIndexByte(u.name, '.')+1:]
	c.addUnitState(p, kind, out)
	name := label{"name", u.name}
	if c.cfg.EnableStartTimeMetrics {
		started, ok := uint64(0), true
		if u.active == "active" {
			started, ok = p.number("Unit", "ActiveEnterTimestamp")
		}
		if ok {
			out.gauge("node_systemd_unit_start_time_seconds", "When the unit became active, in seconds since 1970; 0 if it is not.",
				float64(started)/1e6, name)
		}
	}
	switch kind {
	case "service":
		c.addService(p, name, out)
	case "timer":
		if v, ok := p.number("Timer", "LastTriggerUSec"); ok {
			out.gauge("node_systemd_timer_last_trigger_seconds", "When the timer last elapsed, in seconds since 1970.",
				float64(v)/1e6, name)
		}
	case "socket":
		addSocket(p, name, out)
	}
}

func (c *systemd) addUnitState(p unitProperties, kind string, out *exposition) {
	of := ""
	switch kind {
	case "service":
		of = p.text("Service", "Type")
	case "mount":
		of = p.text("Mount", "Type")
	}
	for _, state := range unitStates() {
		out.gauge("node_systemd_unit_state", "1 for the state that the unit is in.", truth(state == p.of.active),
			label{"name", p.of.name}, label{"state", state}, label{"type", of})
	}
}

func (c *systemd) addService(p unitProperties, name label, out *exposition) {
	if c.cfg.EnableRestartsMetrics {
		if v, ok := p.number("Service", "NRestarts"); ok {
			out.counter("node_systemd_service_restart_total", "How often systemd restarted the service.", float64(v), name)
		}
	}
	if !c.cfg.EnableTaskMetrics {
		return
	}
	// All bits set stand for a number that does not exist.
	if v, ok := p.number("Service", "TasksCurrent"); ok && v != math.MaxUint64 {
		out.gauge("node_systemd_unit_tasks_current", "Tasks of the unit.", float64(v), name)
	}
	if v, ok := p.number("Service", "TasksMax"); ok && v != math.MaxUint64 {
		out.gauge("node_systemd_unit_tasks_max", "Tasks that the unit may have.", float64(v), name)
	}
}

func addSocket(p unitProperties, name label, out *exposition) {
	accepted, ok := p.number("Socket", "NAccepted")
	if !ok {
		return
	}
	out.counter("node_systemd_socket_accepted_connections_total", "Connections that the socket accepted.",
		float64(accepted), name)
	current, ok := p.number("Socket", "NConnections")
	if !ok {
		return
	}
	out.gauge("node_systemd_socket_current_connections", "Connections that the socket has.", float64(current), name)
	if v, ok := p.number("Socket", "NRefused"); ok {
		out.gauge("node_systemd_socket_refused_connections_total", "Connections that the socket refused.", float64(v), name)
	}
}

// unitProperties reads a unit's properties.
type unitProperties struct {
	bus systemdBus
	of  systemdUnit
	log *slog.Logger
}

func (p unitProperties) read(kind, property string) any {
	v, err := p.bus.unit(p.of.path, kind, property)
	if err != nil { // The unit may be gone, or this systemd may not know the property.
		p.log.Debug("unit has no such property", "unit", p.of.name, "property", property, "err", err)
		return nil
	}
	return v
}

func (p unitProperties) text(kind, property string) string {
	s, _ := p.read(kind, property).(string)
	return s
}

func (p unitProperties) number(kind, property string) (uint64, bool) {
	switch v := p.read(kind, property).(type) {
	case uint32:
		return uint64(v), true
	case uint64:
		return v, true
	default:
		return 0, false
	}
}
