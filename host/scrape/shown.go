package scrape

// Shown returns a copy for display, in which what is left out has the value that counts then: extraMetrics is that of
// extra_scrape_metrics.
func (g Inherited) Shown(extraMetrics bool) Inherited {
	orElse(&g.ScrapeNativeHistograms, false)
	orElse(&g.ExtraScrapeMetrics, extraMetrics)
	return g
}

// Shown returns a copy for display, as [Inherited.Shown] does.
func (c *Config) Shown(extraMetrics bool) *Config {
	shown := *c
	shown.Inherited = c.Inherited.Shown(extraMetrics)
	orElse(&shown.AlwaysScrapeClassicHistograms, false)
	orElse(&shown.ConvertClassicHistogramsToNHCB, false)
	return &shown
}

func orElse(field **bool, value bool) {
	if *field == nil {
		*field = &value
	}
}
