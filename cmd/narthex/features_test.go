package main

import (
	"log/slog"
	"testing"

	"github.com/narthex-io/narthex/promql"
)

func TestFeatures(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	var opts promql.Options
	lists := []string{"promql-extended-range-selectors, promql-binop-fill-modifiers", "promql-experimental-functions,promql-per-step-stats", "unknown,exemplar-storage", "type-and-unit-labels,use-start-timestamps"}
	f := features{query: &opts}
	if err := f.enable(lists, log); err != nil {
		t.Fatal(err)
	}
	if !opts.EnableExtendedRangeSelectors || !opts.EnableBinopFillModifiers || !opts.EnableExperimentalFunctions ||
		!opts.EnablePerStepStats || opts.EnableDelayedNameRemoval || !f.exemplars ||
		!opts.EnableTypeAndUnitLabels || !opts.EnableStartTimestamps || !f.scrape.TypeAndUnit {
		t.Errorf("options are %+v, %+v", opts, f)
	}
	for _, name := range []string{"use-uncached-io", "st-synthesis", "auto-reload-config"} {
		if err := f.enable([]string{name}, log); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
