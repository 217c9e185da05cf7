package receiver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/narthex-io/narthex/internal/redact"
	"github.com/narthex-io/narthex/internal/strictyaml"
	"github.com/narthex-io/narthex/model/relabel"
)

// KeySuffix ends the keys of sections that notifier plugins claim.
const KeySuffix = "_notify_configs"

// Config is one entry of a *_notify_configs list: the fields about grouping, which are the host's and named as in the
// Alertmanager's routes, and the rest, which is the plugin's.
type Config struct {
	// Name names the receiver, and the folder in which it keeps what it could not deliver. The default is the key without
	// its ending.
	Name string `yaml:"name,omitempty"`
	// GroupBy are the labels whose values make a group; ... stands for all labels. Without any, all alerts are one group.
	GroupBy []string `yaml:"group_by,flow,omitempty"`
	// GroupWait is how long a new group waits for more alerts, GroupInterval the least time between two batches of a group,
	// RepeatInterval how often alerts are told again that still fire.
	GroupWait      model.Duration `yaml:"group_wait"`
	GroupInterval  model.Duration `yaml:"group_interval"`
	RepeatInterval model.Duration `yaml:"repeat_interval"`
	// SendResolved says that the end of alerts is told too.
	SendResolved bool `yaml:"send_resolved"`
	// AlertRelabelConfigs change and choose the alerts of this receiver.
	AlertRelabelConfigs []*relabel.Config `yaml:"alert_relabel_configs,omitempty"`

	// Key is the key of the list, such as webhook_notify_configs, Index the entry's place in it, counted from 0.
	Key   string `yaml:"-"`
	Index int    `yaml:"-"`
	// JSON is the plugin's part as the operator wrote it, secrets included.
	JSON json.RawMessage `yaml:"-"`
}

// allLabels in group_by stands for all labels.
const allLabels = "..."

// hostFields are the names of the fields that plugins do not get.
var hostFields = []string{ //nolint:gochecknoglobals // Constant table.
	"name", "group_by", "group_wait", "group_interval", "repeat_interval", "send_resolved", "alert_relabel_configs",
}

// Decode decodes the entries of a list strictly, except for what is the plugin's. Errors carry lines, and paths below the
// list.
func Decode(key string, list *yaml.Node) ([]*Config, error) {
	list = strictyaml.Resolve(list)
	if list.Tag == "!!null" {
		return nil, nil
	}
	if list.Kind != yaml.SequenceNode {
		return nil, &strictyaml.Error{Line: list.Line, Err: errors.New("a list is needed here")}
	}
	var out []*Config
	for i, item := range list.Content {
		c, err := decode(key, i, item)
		if err != nil {
			return nil, strictyaml.At(strictyaml.Index("", i), err)
		}
		out = append(out, c)
	}
	return out, nil
}

func decode(key string, index int, item *yaml.Node) (*Config, error) {
	item = strictyaml.Resolve(item)
	if item.Kind != yaml.MappingNode {
		return nil, &strictyaml.Error{Line: item.Line, Err: errors.New("a mapping is needed here")}
	}
	c := &Config{
		Name:           strings.TrimSuffix(key, KeySuffix),
		GroupWait:      model.Duration(30 * time.Second),
		GroupInterval:  model.Duration(5 * time.Minute),
		RepeatInterval: model.Duration(4 * time.Hour),
		SendResolved:   true,
		Key:            key,
		Index:          index,
	}
	ours, theirs := *item, *item
	ours.Content, theirs.Content = nil, nil
	for i := 0; i < len(item.Content); i += 2 {
		part := &theirs
		if slices.Contains(hostFields, item.Content[i].Value) {
			part = &ours
		}
		part.Content = append(part.Content, item.Content[i:i+2]...)
	}
	if err := strictyaml.Decode(&ours, c); err != nil {
		return nil, err
	}
	var err error
	c.JSON, err = strictyaml.JSON(&theirs)
	return c, err
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}$`)

// Check checks the entry. Problems are errors of package strictyaml with paths below it.
func (c *Config) Check(legacyNames bool) error {
	var errs []error
	fail := func(field string, err error) { errs = append(errs, strictyaml.At(field, err)) }
	if !namePattern.MatchString(c.Name) {
		fail("name", fmt.Errorf("%q is not made of letters, digits, dots, _ and -, 64 at most", c.Name))
	}
	for i, name := range c.GroupBy {
		switch {
		case name == allLabels && len(c.GroupBy) > 1:
			fail(strictyaml.Index("group_by", i), errors.New("... stands for all labels and stands alone"))
		case name == "" || slices.Contains(c.GroupBy[:i], name):
			fail(strictyaml.Index("group_by", i), fmt.Errorf("%q is empty or given twice", name))
		}
	}
	if c.GroupInterval <= 0 {
		fail("group_interval", errors.New("the interval must be above zero"))
	}
	if c.RepeatInterval <= 0 {
		fail("repeat_interval", errors.New("the interval must be above zero"))
	}
	fail("alert_relabel_configs", relabel.ValidateAll(c.AlertRelabelConfigs, legacyNames))
	return errors.Join(errs...)
}

// MarshalYAML shows the entry without secrets.
func (c *Config) MarshalYAML() (any, error) {
	type plain Config
	var node, rest yaml.Node
	if err := node.Encode((*plain)(c)); err != nil {
		return nil, err
	}
	var shown any
	if err := json.Unmarshal(c.JSON, &shown); err != nil {
		return nil, err
	}
	if err := rest.Encode(hideURLs(redact.Secrets(shown))); err != nil {
		return nil, err
	}
	node.Content = append(node.Content, rest.Content...)
	return &node, nil
}

// hideURLs replaces all but the origin of the URLs in the fields of a section, since that of a webhook is a password.
func hideURLs(section any) any {
	fields, _ := section.(map[string]any)
	for name, value := range fields {
		text, _ := value.(string)
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || len(u.RequestURI()) < 2 && u.User == nil {
			continue
		}
		fields[name] = u.Scheme + "://" + u.Host + "/<secret>"
	}
	return section
}
