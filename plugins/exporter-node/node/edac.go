//go:build linux

package node

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

// edac reports the memory errors that the controllers in /sys/devices/system/edac/mc counted.
type edac struct{ sysfs string }

func (c edac) collect(_ context.Context, _ readings, out *exposition) error {
	controllers, err := filepath.Glob(filepath.Join(c.sysfs, "devices/system/edac/mc/mc[0-9]*"))
	if err != nil {
		return err
	}
	for _, dir := range controllers {
		if err := addController(dir, out); err != nil {
			return err
		}
	}
	return nil
}

func addController(dir string, out *exposition) error {
	controller := label{"controller", strings.TrimPrefix(filepath.Base(dir), "mc")}
	if err := addErrors(dir, "", "node_edac_", "the controller", out, controller); err != nil {
		return err
	}
	// Errors that the controller could not attribute to a row.
	if err := addErrors(dir, "noinfo_", "node_edac_csrow_", "the row", out, controller,
		label{"csrow", "unknown"}); err != nil {
		return err
	}
	rows, err := filepath.Glob(filepath.Join(dir, "csrow[0-9]*"))
	if err != nil {
		return err
	}
	for _, row := range rows {
		csrow := label{"csrow", strings.TrimPrefix(filepath.Base(row), "csrow")}
		if err := addErrors(row, "", "node_edac_csrow_", "the row", out, controller, csrow); err != nil {
			return err
		}
		if err := addChannels(row, out, controller, csrow); err != nil {
			return err
		}
	}
	return nil
}

// addErrors reports the files ce_<infix>count and ue_<infix>count.
func addErrors(dir, infix, prefix, of string, out *exposition, labels ...label) error {
	correctable, err := readUint(filepath.Join(dir, "ce_"+infix+"count"))
	if err != nil {
		return err
	}
	uncorrectable, err := readUint(filepath.Join(dir, "ue_"+infix+"count"))
	if err != nil {
		return err
	}
	out.counter(prefix+"correctable_errors_total", "Memory errors of "+of+" that were corrected.", float64(correctable),
		labels...)
	out.counter(prefix+"uncorrectable_errors_total", "Memory errors of "+of+" that could not be corrected.",
		float64(uncorrectable), labels...)
	return nil
}

func addChannels(row string, out *exposition, controller, csrow label) error {
	files, err := filepath.Glob(filepath.Join(row, "ch[0-9]*_ce_count"))
	if err != nil {
		return err
	}
	for _, file := range files {
		number := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "ch"), "_ce_count")
		labels := []label{{"channel", number}, controller, csrow, {"dimm_label", dimmLabel(row, number)}}
		correctable, err := readUint(file)
		if err != nil {
			return err
		}
		out.counter("node_edac_channel_correctable_errors_total", "Memory errors of the channel that were corrected.",
			float64(correctable), labels...)
		if v, err := readUint(filepath.Join(row, "ch"+number+"_ue_count")); err == nil {
			out.counter("node_edac_channel_uncorrectable_errors_total",
				"Memory errors of the channel that could not be corrected.", float64(v), labels...)
		}
	}
	return nil
}

// dimmLabel is the label that the firmware or the operator gave the module, in node_exporter's spelling.
func dimmLabel(row, channel string) string {
	text, err := os.ReadFile(filepath.Join(row, "ch"+channel+"_dimm_label"))
	if err != nil {
		return "unknown"
	}
	return strings.NewReplacer("#", "", "csrow", "_csrow", "channel", "_channel").Replace(strings.TrimSpace(string(text)))
}
