package send

import (
	"errors"
	"fmt"
	"slices"
	"time"

	httpconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/narthex-io/narthex/host/httpclient"
	"github.com/narthex-io/narthex/internal/strictyaml"
	"github.com/narthex-io/narthex/model/relabel"
)

// Message is the protobuf message in which samples are sent.
type Message string

// The messages of the two versions of remote write.
const (
	V1 Message = "prometheus.WriteRequest"
	V2 Message = "io.prometheus.write.v2.Request"
)

// Config is an entry of remote_write. It is ready for use after [Config.Complete] and immutable from then on.
type Config struct {
	URL *httpconfig.URL `yaml:"url"`
	// RemoteTimeout bounds one request.
	RemoteTimeout model.Duration `yaml:"remote_timeout,omitempty"`
	// Headers are sent with each request, besides those of the HTTP client.
	Headers map[string]string `yaml:"headers,omitempty"`
	// WriteRelabelConfigs are applied to series, with their external labels.
	WriteRelabelConfigs []*relabel.Config `yaml:"write_relabel_configs,omitempty"`
	// Name is shown in metrics and the log; without one there is a digest of the entry.
	Name                 string `yaml:"name,omitempty"`
	SendExemplars        bool   `yaml:"send_exemplars,omitempty"`
	SendNativeHistograms bool   `yaml:"send_native_histograms,omitempty"`
	// RoundRobinDNS connects to one of the host's addresses at random.
	RoundRobinDNS   bool    `yaml:"round_robin_dns,omitempty"`
	ProtobufMessage Message `yaml:"protobuf_message,omitempty"`
	// FailedRequestLogging logs, for debugging, what requests of 2.0 that failed were about.
	FailedRequestLogging bool `yaml:"failed_request_logging,omitempty"`

	HTTPClient     httpclient.Config `yaml:",inline"`
	QueueConfig    QueueConfig       `yaml:"queue_config,omitempty"`
	MetadataConfig MetadataConfig    `yaml:"metadata_config,omitempty"`
}

// QueueConfig says how samples wait, and are sent in requests.
type QueueConfig struct {
	// Capacity is the number of samples that wait in a shard before no more are read from the log.
	Capacity  int `yaml:"capacity,omitempty"`
	MaxShards int `yaml:"max_shards,omitempty"`
	MinShards int `yaml:"min_shards,omitempty"`
	// MaxSamplesPerSend bounds a request; BatchSendDeadline is how long a sample waits for others.
	MaxSamplesPerSend int            `yaml:"max_samples_per_send,omitempty"`
	BatchSendDeadline model.Duration `yaml:"batch_send_deadline,omitempty"`
	// MinBackoff and MaxBackoff bound the pause before a request is tried again.
	MinBackoff     model.Duration `yaml:"min_backoff,omitempty"`
	MaxBackoff     model.Duration `yaml:"max_backoff,omitempty"`
	RetryOnHTTP429 bool           `yaml:"retry_on_http_429,omitempty"`
	// SampleAgeLimit is the age from which on samples are dropped; zero means never.
	SampleAgeLimit model.Duration `yaml:"sample_age_limit,omitempty"`
}

// MetadataConfig is about the metadata of 1.0, which is sent aside from samples.
type MetadataConfig struct {
	Send              bool           `yaml:"send"`
	SendInterval      model.Duration `yaml:"send_interval"`
	MaxSamplesPerSend int            `yaml:"max_samples_per_send,omitempty"`
}

func defaultConfig() Config {
	client := httpclient.DefaultConfig()
	client.HTTPClientConfig = httpconfig.HTTPClientConfig{FollowRedirects: true}
	return Config{
		RemoteTimeout:   model.Duration(30 * time.Second),
		ProtobufMessage: V1,
		HTTPClient:      client,
		QueueConfig: QueueConfig{
			Capacity: 10_000, MaxShards: 50, MinShards: 1, MaxSamplesPerSend: 2000,
			BatchSendDeadline: model.Duration(5 * time.Second),
			MinBackoff:        model.Duration(30 * time.Millisecond),
			MaxBackoff:        model.Duration(5 * time.Second),
		},
		MetadataConfig: MetadataConfig{Send: true, SendInterval: model.Duration(time.Minute), MaxSamplesPerSend: 2000},
	}
}

// unsupported are the ways to sign in that take the libraries of a cloud.
var unsupported = []string{"azuread", "google_iam"} //nolint:gochecknoglobals // constant table

// UnmarshalYAML decodes an entry strictly.
func (c *Config) UnmarshalYAML(node *yaml.Node) error {
	type plain Config
	*c = defaultConfig()
	node = strictyaml.Resolve(node)
	if node.Kind == yaml.MappingNode {
		for i := 0; i < len(node.Content); i += 2 {
			key := node.Content[i]
			if slices.Contains(unsupported, key.Value) && strictyaml.Resolve(node.Content[i+1]).Tag != "!!null" {
				return &strictyaml.Error{Line: key.Line, Path: key.Value, Err: errors.New("not built in: use oauth2, or an auth plugin that signs requests")}
			}
		}
	}
	rest, err := c.HTTPClient.Take(withoutUnsupported(node))
	if err != nil {
		return err
	}
	return strictyaml.Decode(rest, (*plain)(c))
}

// withoutUnsupported returns a mapping without the keys that are not supported, which are empty.
func withoutUnsupported(node *yaml.Node) *yaml.Node {
	if node.Kind != yaml.MappingNode {
		return node
	}
	out := *node
	out.Content = nil
	for i := 0; i < len(node.Content); i += 2 {
		if !slices.Contains(unsupported, node.Content[i].Value) {
			out.Content = append(out.Content, node.Content[i], node.Content[i+1])
		}
	}
	return &out
}

// MarshalYAML shows the entry without secrets.
func (c *Config) MarshalYAML() (any, error) {
	type plain Config
	var node yaml.Node
	if err := node.Encode((*plain)(c)); err != nil {
		return nil, err
	}
	return &node, c.HTTPClient.AppendTo(&node)
}

// CompleteAll is [Config.Complete] for all entries of remote_write; their names must differ. Errors are of package strictyaml, with
// paths that begin with the section.
func CompleteAll(cfgs []*Config, dir string, legacyNames bool) error {
	const section = "remote_write"
	var errs []error
	places, digests := map[string]string{}, map[string]string{}
	for i, c := range cfgs {
		at := strictyaml.Index(section, i)
		if c == nil {
			errs = append(errs, strictyaml.At(at, errors.New("empty or null remote write config section")))
			continue
		}
		errs = append(errs, strictyaml.At(at, c.Complete(dir, legacyNames)))
		if other := places[c.Name]; other != "" && c.Name != "" {
			errs = append(errs, strictyaml.At(strictyaml.Join(at, "name"), fmt.Errorf("%q is the name of %s too: found multiple remote write configs with the same name", c.Name, other)))
		}
		places[c.Name] = at
		digest, err := c.hash()
		if other := digests[digest]; err == nil && other != "" && c.Name == "" {
			errs = append(errs, strictyaml.At(at, fmt.Errorf("the same as %s: duplicate remote write configs are not allowed", other)))
		}
		digests[digest] = at
	}
	return errors.Join(errs...)
}

// Complete checks an entry and makes relative paths of files relative to dir. With legacyNames, labels must be named
// [a-zA-Z_][a-zA-Z0-9_]*. All problems are returned at once.
func (c *Config) Complete(dir string, legacyNames bool) error {
	c.HTTPClient.SetDirectory(dir)
	errs := []error{httpclient.Check(&c.HTTPClient), strictyaml.At("headers", httpclient.CheckHeaders(c.Headers)), strictyaml.At("queue_config", c.QueueConfig.check())}
	fail := func(field string, err error) { errs = append(errs, strictyaml.At(field, err)) }
	if c.URL == nil {
		fail("url", errors.New("url for remote_write is empty"))
	}
	fail("write_relabel_configs", relabel.ValidateAll(c.WriteRelabelConfigs, legacyNames))
	if c.ProtobufMessage != V1 && c.ProtobufMessage != V2 {
		fail("protobuf_message", fmt.Errorf("unknown remote write protobuf message %q: expected %s or %s", c.ProtobufMessage, V1, V2))
	}
	if m := c.MetadataConfig; m.Send && m.SendInterval <= 0 {
		fail("metadata_config.send_interval", errors.New("must be above zero"))
	}
	if m := c.MetadataConfig; m.Send && m.MaxSamplesPerSend <= 0 {
		fail("metadata_config.max_samples_per_send", errors.New("must be positive"))
	}
	return errors.Join(errs...)
}

func (c *QueueConfig) check() error {
	var errs []error
	fail := func(field, text string) {
		errs = append(errs, strictyaml.At(field, errors.New("remote write queue "+field+" "+text)))
	}
	if c.MaxShards <= 0 {
		fail("max_shards", "must be positive")
	}
	if c.MinShards <= 0 {
		fail("min_shards", "must be positive")
	} else if c.MinShards > c.MaxShards && c.MaxShards > 0 {
		fail("min_shards", "must not be greater than max_shards")
	}
	if c.MaxSamplesPerSend <= 0 {
		fail("max_samples_per_send", "must be positive")
	}
	if c.Capacity <= 0 {
		fail("capacity", "must be positive")
	}
	if c.MaxBackoff < c.MinBackoff {
		fail("max_backoff", "must not be less than min_backoff")
	}
	return errors.Join(errs...)
}
