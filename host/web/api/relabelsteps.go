package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/relabel"
)

// relabelRule is a rule as JSON.
type relabelRule struct {
	SourceLabels []string       `json:"source_labels,omitempty"`
	Separator    string         `json:"separator,omitempty"`
	Regex        string         `json:"regex,omitempty"`
	Modulus      uint64         `json:"modulus,omitempty"`
	TargetLabel  string         `json:"target_label,omitempty"`
	Replacement  string         `json:"replacement,omitempty"`
	Action       relabel.Action `json:"action,omitempty"`
}

// relabelStep is a rule and what it makes of the labels; they are empty when it drops the target.
type relabelStep struct {
	Rule   relabelRule   `json:"rule"`
	Output labels.Labels `json:"output"`
	Keep   bool          `json:"keep"`
}

// relabelSteps shows what each rule of a job makes of a target's labels, up to the one that drops it.
func (a *api) relabelSteps(r *http.Request) (*answer, error) {
	pool, text := r.FormValue("scrapePool"), r.FormValue("labels")
	if pool == "" {
		return nil, badData("no scrapePool parameter provided")
	}
	if text == "" {
		return nil, badData("no labels parameter provided")
	}
	var set map[string]string
	if err := json.Unmarshal([]byte(text), &set); err != nil {
		return nil, badData("error parsing labels: %w", plainJSONError(err))
	}
	cfg := a.Scrape.Config(pool)
	if cfg == nil {
		return nil, badData("error retrieving scrape config: scrape pool %q not found", pool)
	}
	steps := []relabelStep{}
	b := labels.NewBuilder(labels.FromMap(set))
	for i, c := range cfg.RelabelConfigs {
		keep := relabel.Process(cfg.RelabelConfigs[i:i+1], b)
		step := relabelStep{Rule: relabelRule{
			c.SourceLabels, c.Separator, c.Regex, c.Modulus, c.TargetLabel, c.Replacement, c.Action,
		}, Keep: keep}
		if keep {
			step.Output = b.Labels()
		}
		steps = append(steps, step)
		if !keep {
			break
		}
	}
	return &answer{data: map[string][]relabelStep{"steps": steps}}, nil
}

// plainJSONError leaves out where in a type of the program's own the mistake is.
func plainJSONError(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("found the JSON type %s: labels are an object whose values are text", wrong.Value)
	}
	return err
}
