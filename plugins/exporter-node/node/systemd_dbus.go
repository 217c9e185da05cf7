//go:build linux

package node

import (
	"context"
	"os"

	"github.com/godbus/dbus/v5"
)

// dbusSystemd asks systemd over the system's bus.
type dbusSystemd struct {
	ctx  context.Context //nolint:containedctx // It lives as long as one call of collect, whose context this is.
	conn *dbus.Conn
}

// The names of systemd on the bus.
const (
	systemdName   = "org.freedesktop.systemd1"
	systemdPath   = "/org/freedesktop/systemd1"
	systemdPrefix = systemdName + "."
)

// dialSystemd connects to the system's bus or, as root on a system without one, to systemd itself.
func dialSystemd(ctx context.Context) (systemdBus, error) {
	conn, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err == nil {
		return &dbusSystemd{ctx, conn}, nil
	}
	if os.Geteuid() != 0 {
		return nil, err
	}
	private, privateErr := dbus.Dial("unix:path=/run/systemd/private", dbus.WithContext(ctx))
	if privateErr != nil {
		return nil, err
	}
	if authErr := private.Auth(nil); authErr != nil {
		_ = private.Close()
		return nil, err
	}
	return &dbusSystemd{ctx, private}, nil
}

func (s *dbusSystemd) close() { _ = s.conn.Close() }

func (s *dbusSystemd) manager(property string) (any, error) {
	return s.property(systemdPath, systemdPrefix+"Manager", property)
}

func (s *dbusSystemd) unit(path, kind, property string) (any, error) {
	return s.property(dbus.ObjectPath(path), systemdPrefix+kind, property)
}

func (s *dbusSystemd) property(path dbus.ObjectPath, of, property string) (any, error) {
	var v dbus.Variant
	call := s.conn.Object(systemdName, path).CallWithContext(s.ctx, "org.freedesktop.DBus.Properties.Get", 0, of, property)
	if err := call.Store(&v); err != nil {
		return nil, err
	}
	return v.Value(), nil
}

// listedUnit is a unit as ListUnits tells it.
type listedUnit struct {
	Name, Description, LoadState, ActiveState, SubState, Followed string
	Path                                                          dbus.ObjectPath
	JobID                                                         uint32
	JobType                                                       string
	JobPath                                                       dbus.ObjectPath
}

func (s *dbusSystemd) units() ([]systemdUnit, error) {
	var listed []listedUnit
	call := s.conn.Object(systemdName, systemdPath).CallWithContext(s.ctx, systemdPrefix+"Manager.ListUnits", 0)
	if err := call.Store(&listed); err != nil {
		return nil, err
	}
	units := make([]systemdUnit, len(listed))
	for i, u := range listed {
		units[i] = systemdUnit{name: u.Name, load: u.LoadState, active: u.ActiveState, path: string(u.Path)}
	}
	return units, nil
}
