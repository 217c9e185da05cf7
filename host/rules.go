package host

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/narthex-io/narthex/host/config"
	"github.com/narthex-io/narthex/host/rules"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/promql/parser"
)

func (h *Host) makeRules() (err error) {
	opts := h.opts.Rules
	opts.Log = h.log.With("component", "rules")
	opts.Registerer = h.registry
	opts.Engine = h.engine
	opts.Storage = &h.storage
	opts.Queried = h.queried
	opts.Notifier = h.notify
	if h.rules, err = rules.New(opts); err != nil {
		return fmt.Errorf("make rule manager: %w", err)
	}
	return nil
}

// prepareRules loads the rule files of a configuration and makes their groups.
func (h *Host) prepareRules(cfg *config.Config) (*rules.Change, error) {
	for _, pattern := range cfg.RuleFiles {
		if _, err := os.Stat(pattern); !strings.ContainsAny(pattern, "*?[") && os.IsNotExist(err) {
			h.log.Warn("rule file is not there", "file", pattern)
		}
	}
	files, err := rules.Load(cfg.RuleFiles, ruleLoading(cfg, h.opts.Query, rules.LoadOptions{Log: h.log}))
	if err != nil {
		return nil, err
	}
	return h.rules.Prepare(rules.Config{
		Files:          files,
		Interval:       time.Duration(cfg.Global.EvaluationInterval),
		QueryOffset:    time.Duration(cfg.Global.RuleQueryOffset),
		ExternalLabels: cfg.Global.Labels(),
		ExternalURL:    withoutSlash(h.externalURL()),
	})
}

// withoutSlash returns a URL to which paths can be appended.
func withoutSlash(u *url.URL) *url.URL {
	bare := *u
	bare.Path = strings.TrimRight(bare.Path, "/")
	return &bare
}

// ruleLoading completes the options for reading rule files with what the configuration and the enabled features say.
func ruleLoading(cfg *config.Config, query promql.Options, opts rules.LoadOptions) rules.LoadOptions {
	opts.Parser = queryParser(query)
	opts.LegacyNames = cfg.Global.LegacyNames()
	return opts
}

// queryParser returns a parser with the features that are enabled.
func queryParser(o promql.Options) *parser.Parser {
	return parser.New(parser.Options{
		EnableExperimentalFunctions:  o.EnableExperimentalFunctions,
		EnableExtendedRangeSelectors: o.EnableExtendedRangeSelectors,
		EnableBinopFillModifiers:     o.EnableBinopFillModifiers,
	})
}
