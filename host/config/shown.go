package config

import "github.com/narthex-io/narthex/host/scrape"

// InForce is what counts where the configuration says nothing, since it comes from elsewhere.
type InForce struct {
	// GoGC is as in [Runtime]; zero shows nothing.
	GoGC      int
	Retention Retention
	// ExtraScrapeMetrics is as in a job.
	ExtraScrapeMetrics bool
	// Exemplars says that exemplars are stored.
	Exemplars bool
}

// Shown is [Config.String] with what is in force where the configuration says nothing, as upstream shows it.
func (c *Config) Shown(f InForce) string {
	shown := *c
	shown.Global.Inherited = c.Global.Inherited.Shown(f.ExtraScrapeMetrics)
	shown.ScrapeConfigs = make([]*scrape.Config, len(c.ScrapeConfigs))
	for i, job := range c.ScrapeConfigs {
		shown.ScrapeConfigs[i] = job.Shown(f.ExtraScrapeMetrics)
	}
	if c.Runtime.GoGC == 0 {
		shown.Runtime.GoGC = f.GoGC
	}
	if c.Storage.TSDB.Retention == nil {
		shown.Storage.TSDB.Retention = &f.Retention
	}
	if limit := c.Storage.Exemplars.Limit(); f.Exemplars && (c.Storage.Exemplars == nil || c.Storage.Exemplars.MaxExemplars == nil) {
		shown.Storage.Exemplars = &Exemplars{MaxExemplars: &limit}
	}
	return shown.String()
}
