//go:build linux

package node

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/prometheus/procfs/sysfs"
)

// powerSupply reports the batteries and adapters of /sys/class/power_supply.
type powerSupply struct {
	fs      sysfs.FS
	ignored *regexp.Regexp
}

func newPowerSupply(s sources) (powerSupply, error) {
	ignored, err := compile("powersupply.ignored_supplies", s.cfg.PowerSupply.IgnoredSupplies)
	return powerSupply{s.sysfs, ignored}, err
}

func (c powerSupply) collect(_ context.Context, _ readings, out *exposition) error {
	supplies, err := c.fs.PowerSupplyClass()
	if err != nil {
		return fmt.Errorf("read power supplies: %w", absent(err))
	}
	for _, name := range slices.Sorted(maps.Keys(supplies)) {
		if c.ignored.MatchString(name) {
			continue
		}
		s := supplies[name]
		addSupplyInfo(&s, out)
		addScaled(out, s.Name, 1, supplyPlain(&s))
		addScaled(out, s.Name, 1e6, supplyMicro(&s))
		addScaled(out, s.Name, 10, supplyTenths(&s))
	}
	return nil
}

// addSupplyInfo leaves out what the driver does not say.
func addSupplyInfo(s *sysfs.PowerSupply, out *exposition) {
	var known []label
	for _, l := range []label{
		{"capacity_level", s.CapacityLevel},
		{"charge_type", s.ChargeType},
		{"health", s.Health},
		{"manufacturer", s.Manufacturer},
		{"model_name", s.ModelName},
		{"power_supply", s.Name},
		{"scope", s.Scope},
		{"serial_number", s.SerialNumber},
		{"status", s.Status},
		{"technology", s.Technology},
		{"type", s.Type},
		{"usb_type", s.UsbType},
	} {
		if l.value != "" {
			known = append(known, l)
		}
	}
	out.gauge("node_power_supply_info", "Always 1; the labels describe the power supply.", 1, known...)
}

type supplyValue struct {
	name  string
	value *int64
}

// addScaled divides each value that the driver has by perUnit.
func addScaled(out *exposition, supply string, perUnit float64, values []supplyValue) {
	for _, v := range values {
		if v.value != nil {
			out.gauge("node_power_supply_"+v.name, "Property "+v.name+" of the power supply.", float64(*v.value)/perUnit,
				label{"power_supply", supply})
		}
	}
}

func supplyPlain(s *sysfs.PowerSupply) []supplyValue {
	return []supplyValue{
		{"authentic", s.Authentic},
		{"calibrate", s.Calibrate},
		{"capacity", s.Capacity},
		{"capacity_alert_max", s.CapacityAlertMax},
		{"capacity_alert_min", s.CapacityAlertMin},
		{"cyclecount", s.CycleCount},
		{"online", s.Online},
		{"present", s.Present},
		{"time_to_empty_seconds", s.TimeToEmptyNow},
		{"time_to_full_seconds", s.TimeToFullNow},
	}
}

// supplyMicro are in millionths of volts, amperes, watts and their products with hours.
func supplyMicro(s *sysfs.PowerSupply) []supplyValue {
	return []supplyValue{
		{"charge_ampere", s.ChargeNow},
		{"charge_control_limit", s.ChargeControlLimit},
		{"charge_control_limit_max", s.ChargeControlLimitMax},
		{"charge_counter", s.ChargeCounter},
		{"charge_empty", s.ChargeEmpty},
		{"charge_empty_design", s.ChargeEmptyDesign},
		{"charge_full", s.ChargeFull},
		{"charge_full_design", s.ChargeFullDesign},
		{"charge_term_current", s.ChargeTermCurrent},
		{"constant_charge_current", s.ConstantChargeCurrent},
		{"constant_charge_current_max", s.ConstantChargeCurrentMax},
		{"constant_charge_voltage", s.ConstantChargeVoltage},
		{"constant_charge_voltage_max", s.ConstantChargeVoltageMax},
		{"current_ampere", s.CurrentNow},
		{"current_boot", s.CurrentBoot},
		{"current_max", s.CurrentMax},
		{"energy_empty", s.EnergyEmpty},
		{"energy_empty_design", s.EnergyEmptyDesign},
		{"energy_full", s.EnergyFull},
		{"energy_full_design", s.EnergyFullDesign},
		{"energy_watthour", s.EnergyNow},
		{"input_current_limit", s.InputCurrentLimit},
		{"power_watt", s.PowerNow},
		{"precharge_current", s.PrechargeCurrent},
		{"voltage_boot", s.VoltageBoot},
		{"voltage_max", s.VoltageMax},
		{"voltage_max_design", s.VoltageMaxDesign},
		{"voltage_min", s.VoltageMin},
		{"voltage_min_design", s.VoltageMinDesign},
		{"voltage_ocv", s.VoltageOCV},
		{"voltage_volt", s.VoltageNow},
	}
}

// supplyTenths are in tenths of degrees.
func supplyTenths(s *sysfs.PowerSupply) []supplyValue {
	return []supplyValue{
		{"temp_alert_max_celsius", s.TempAlertMax},
		{"temp_alert_min_celsius", s.TempAlertMin},
		{"temp_ambient_celsius", s.TempAmbient},
		{"temp_ambient_max_celsius", s.TempAmbientMax},
		{"temp_ambient_min_celsius", s.TempAmbientMin},
		{"temp_celsius", s.Temp},
		{"temp_max_celsius", s.TempMax},
		{"temp_min_celsius", s.TempMin},
	}
}
