package scrape

import (
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/sdk"
)

// Candidate is what becomes of something that was discovered.
type Candidate struct {
	// Discovered are the labels before relabelling.
	Discovered labels.Labels
	// Labels are those after it, with the reserved ones that say how the target is scraped. They are empty if there is no
	// target.
	Labels labels.Labels
	// Err is why there is no target; nil if relabelling dropped it.
	Err error
}

// Candidates makes the targets of a complete job out of what was discovered, and says what becomes of each, in the order of
// the groups; the job's exporters come last. Those that are the same in everything are one.
func (c *Config) Candidates(groups []sdk.Group) []Candidate {
	var all []Candidate
	seen := map[string]bool{}
	eachAddress(c, groups, func(_ string, b *labels.Builder, exporter *ExporterConfig) {
		t, discovered, err := makeTarget(c, b, exporter)
		key := string(discovered.AppendKey(nil))
		if seen[key] {
			return
		}
		seen[key] = true
		one := Candidate{Discovered: discovered, Err: err}
		if t != nil && err == nil {
			one.Labels = b.Labels()
		}
		all = append(all, one)
	})
	return all
}
