// Package sdk is what a plugin author implements and what the host programs against: the same interfaces on both
// sides of the wall, so that a wasm guest, a supervised process and an in-test fake are interchangeable.
//
// Start with [Plugin], which a plugin's main hands to guest.Main, and with the interface of the kind being written:
// [Discovery], [Exporter], [Parser], [Notifier], [Signer] or [Authenticator]. The package imports the standard library only, and nothing of the host.
//
// The payloads are the ecosystem's own formats (http_sd JSON for target groups, the exposition format for metrics);
// docs/abi.md describes the bytes for authors who write a guest in another language.
package sdk

import (
	"context"
	"encoding/json"
	"io"
)

// Group is one entry of an update from a discovery: the http_sd JSON object plus the name of the source that it
// came from.
//
// Entries of one update that share a Source form that source's content together, which lets targets of one source
// carry different labels. An update replaces the whole content of each source named in it and leaves all other
// sources alone; a source whose entries hold no targets is empty.
type Group struct {
	// Source names where the targets come from (a file, a service, a pod), unique within the discovery.
	Source string `json:"source,omitempty"`
	// Targets are the values of the label __address__, as host:port.
	Targets []string `json:"targets"`
	// Labels are attached to each target, __meta_ labels included.
	Labels map[string]string `json:"labels,omitempty"`
}

// Discovery finds targets.
type Discovery interface {
	// Run sends an update whenever targets change, and the first one, even if it is empty, as soon as the state is
	// known. It blocks until ctx is done or discovering has become impossible, returns when nothing that it started
	// runs any more, and never closes updates. Sending on updates may block: select on ctx too. The receiver owns
	// what was sent.
	Run(ctx context.Context, updates chan<- []Group) error
}

// Exporter collects metrics when it is asked to.
type Exporter interface {
	// Collect writes one complete exposition to w. It may be called from several goroutines at once, and stops
	// early, with ctx's error, when ctx is done.
	Collect(ctx context.Context, w io.Writer) error
}

// Kind says what a plugin does for the host.
type Kind string

// The kinds of plugins.
const (
	KindDiscovery Kind = "discovery"
	KindExporter  Kind = "exporter"
	KindNotify    Kind = "notify"
	KindParser    Kind = "parser"
	// KindAuthOutbound signs requests of the host, KindAuthInbound judges requests to it.
	KindAuthOutbound Kind = "auth-outbound"
	KindAuthInbound  Kind = "auth-inbound"
)

// Kinds returns all kinds.
func Kinds() []Kind {
	return []Kind{KindDiscovery, KindExporter, KindParser, KindNotify, KindAuthOutbound, KindAuthInbound}
}

// Manifest is what a plugin says about itself in its first frame. It asks; the operator's config grants.
type Manifest struct {
	// Name is the plugin's name, as in plugins.settings and exporters[].plugin. It equals the file's name without
	// its extension.
	Name string `json:"name"`
	// Version is the plugin's own version, shown to the operator.
	Version string `json:"version,omitempty"`
	// Kinds lists what the plugin implements.
	Kinds []Kind `json:"kinds"`
	// Keys are the config keys that the plugin claims: acme_sd_configs for a discovery, acme_notify_configs for a notifier,
	// acme_auth for either kind of auth, and sigv4 for one that signs. An exporter and a parser claim none.
	Keys []string `json:"keys,omitempty"`
	// ContentType is the exposition format that an exporter or a parser writes; empty means text/plain; version=0.0.4.
	ContentType string `json:"content_type,omitempty"`
	// ContentTypes are the media types that a parser reads where the operator lists none, such as application/json, without
	// parameters.
	ContentTypes []string `json:"content_types,omitempty"`
	// Asks names the config fields from which the host derives grants.
	Asks Asks `json:"asks,omitzero"`
	// Shared says that one native process may serve several sections of the config at a time: the constructors are called for each of
	// them, in the same process, so that what they return can share what is costly. [Host.Access] says what may be shared. A
	// module in the sandbox serves one section whatever it says.
	Shared bool `json:"shared,omitempty"`
}

// Asks are paths into the plugin's config section, such as "server" or "files[*]": only what the operator wrote
// there becomes reachable.
type Asks struct {
	// HTTP are fields that hold URLs; requests to their scheme, host and port are granted.
	HTTP []string `json:"http,omitempty"`
	// Files are fields that hold paths, where the last element may be a glob; reading what they match, and change
	// events for it, are granted.
	Files []string `json:"files,omitempty"`
	// DNS are fields that hold names; looking these up is granted.
	DNS []string `json:"dns,omitempty"`
	// Dial are fields that hold host:port; connecting there over TCP is granted.
	Dial []string `json:"dial,omitempty"`
	// Env are names of environment variables. Their values are given where the operator lists the names in the plugin's
	// settings, or where Prometheus defines that the claimed key reads them.
	Env []string `json:"env,omitempty"`
	// Defaults are values for fields that the operator left out, which the host fills in before it derives grants:
	// what is reachable without being written shows in the manifest.
	Defaults map[string]string `json:"defaults,omitempty"`
	// Headers are fields that hold a credential, each with the name of the header in which the host sends it to the
	// origins of HTTP. The guest does not get these fields.
	Headers map[string]string `json:"headers,omitempty"`
	// BasicAuth are the fields that hold a user name and a password, which the host sends likewise. The guest does not
	// get them either.
	BasicAuth BasicAuth `json:"basic_auth,omitzero"`
}

// BasicAuth names two fields of a plugin's config section.
type BasicAuth struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// Config is the section of the config file that the operator wrote for the plugin, as JSON, without the fields that
// the host handles itself (the HTTP client's fields of a section that asks for HTTP).
type Config = json.RawMessage

// Plugin is everything that guest.Main needs. Exactly the constructors of the manifest's kinds are set. A
// constructor checks its config strictly and returns an error that names the field; it must not block.
type Plugin struct {
	Manifest         Manifest
	NewDiscovery     func(Config, Host) (Discovery, error)
	NewExporter      func(Config, Host) (Exporter, error)
	NewParser        func(Config, Host) (Parser, error)
	NewNotifier      func(Config, Host) (Notifier, error)
	NewSigner        func(Config, Host) (Signer, error)
	NewAuthenticator func(Config, Host) (Authenticator, error)
}
