package host

import (
	"testing"
	"time"

	"github.com/narthex-io/narthex/host/config"
	"github.com/narthex-io/narthex/tsdb"
)

func TestEncodingOfFloats(t *testing.T) {
	check := func(floats string, opts tsdb.Options, xor2, ok bool) {
		t.Helper()
		h := &Host{opts: Options{ConfigFile: "narthex.yml", Storage: opts}}
		cfg := &config.Config{}
		cfg.Storage.TSDB.ChunkEncoding.Floats = floats
		if err := h.checkEncoding(cfg); h.xor2(cfg) != xor2 || (err == nil) != ok {
			t.Errorf("%q with %+v: xor2 is %v, error %v", floats, opts, h.xor2(cfg), err)
		}
	}
	check("", tsdb.Options{}, false, true)
	check("xor2", tsdb.Options{}, true, true)
	check("", tsdb.Options{XOR2: true}, true, true)
	check("xor", tsdb.Options{XOR2: true}, false, true)
	check("", tsdb.Options{XOR2: true, StartTimestamps: true}, true, true)
	check("xor", tsdb.Options{XOR2: true, StartTimestamps: true}, false, false)
}

// TestRetentionSectionTakesThePlaceOfTheFlags: upstream's precedence.
func TestRetentionSectionTakesThePlaceOfTheFlags(t *testing.T) {
	const day = 24 * time.Hour
	check := func(flags tsdb.Retention, section *config.Retention, want tsdb.Retention, text string) {
		t.Helper()
		h := &Host{opts: Options{Storage: tsdb.Options{Retention: flags}}}
		cfg := &config.Config{}
		cfg.Storage.TSDB.Retention = section
		h.config.Store(cfg)
		if got := h.retention(cfg); got != want || h.retentionText() != text {
			t.Errorf("flags %+v and section %+v give %+v, %q", flags, section, got, h.retentionText())
		}
	}
	none := tsdb.Retention{}
	check(none, nil, tsdb.Retention{Time: 15 * day}, "15d")
	check(tsdb.Retention{SizeBytes: 1 << 30}, nil, tsdb.Retention{SizeBytes: 1 << 30}, "1GiB")
	check(tsdb.Retention{Time: 3 * day, SizeBytes: 1}, &config.Retention{}, none, "")
	check(tsdb.Retention{Time: 3 * day}, &config.Retention{Size: 1 << 20}, tsdb.Retention{SizeBytes: 1 << 20}, "1MiB")
	check(none, &config.Retention{Percentage: 62.5, Size: 1<<30 + 512<<20}, tsdb.Retention{SizeBytes: 1<<30 + 512<<20, Percentage: 62.5}, "1GiB512MiB or 62.5%")
}
