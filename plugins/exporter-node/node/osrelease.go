//go:build linux

package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// osRelease reports what /etc/os-release, or else /usr/lib/os-release, says about the distribution.
type osRelease struct {
	rootfs  string
	version *regexp.Regexp
}

func newOSRelease(s sources) collector {
	return osRelease{s.cfg.PathRootfs, regexp.MustCompile(`^[0-9]+\.?[0-9]*`)}
}

func (c osRelease) collect(_ context.Context, _ readings, out *exposition) error {
	release, err := c.read()
	if err != nil {
		return absent(err)
	}
	var labels []label
	for _, name := range [...]string{
		"build_id", "id", "id_like", "image_id", "image_version", "name", "pretty_name", "variant", "variant_id",
		"version", "version_codename", "version_id",
	} {
		labels = append(labels, label{name, release[strings.ToUpper(name)]})
	}
	out.gauge("node_os_info", "Always 1; the labels describe the operating system.", 1, labels...)

	number, _ := strconv.ParseFloat(c.version.FindString(release["VERSION_ID"]), 64)
	if number > 0 {
		out.gauge("node_os_version", "The first two parts of the operating system's version.", number,
			label{"id", release["ID"]}, label{"id_like", release["ID_LIKE"]}, label{"name", release["NAME"]})
	}
	if end := release["SUPPORT_END"]; end != "" {
		date, err := time.Parse(time.DateOnly, end)
		if err != nil {
			return fmt.Errorf("SUPPORT_END of os-release: %w", err)
		}
		out.gauge("node_os_support_end_timestamp_seconds", "When support for the operating system ends, in seconds since 1970.",
			float64(date.Unix()))
	}
	return nil
}

func (c osRelease) read() (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(c.rootfs, "etc/os-release"))
	if errors.Is(err, fs.ErrNotExist) {
		text, err = os.ReadFile(filepath.Join(c.rootfs, "usr/lib/os-release"))
	}
	if err != nil {
		return nil, err
	}
	fields := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(key, "#") {
			fields[key] = unquoteShell(value)
		}
	}
	return fields, nil
}

// unquoteShell takes the quotes off a value as the shell does, without expanding variables.
func unquoteShell(value string) string {
	value = strings.TrimSpace(value)
	if len(value) < 2 || value[0] != value[len(value)-1] {
		return value
	}
	inner := value[1 : len(value)-1]
	switch value[0] {
	case '\'':
		return inner
	case '"':
		return strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\$`, `$`, "\\`", "`").Replace(inner)
	default:
		return value
	}
}
