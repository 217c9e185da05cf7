package plugin

import (
	"cmp"
	"slices"
	"time"

	"github.com/narthex-io/narthex/host/plugin/grant"
	"github.com/narthex-io/narthex/host/plugin/trust"
	"github.com/narthex-io/narthex/sdk"
)

// State says how a plugin is.
type State string

// States of a plugin. A plugin with several guests is in the worst state of them.
const (
	// StateUnused means that the file is fine and the config does not use it.
	StateUnused State = "unused"
	// StateLoading means that a guest is starting for the first time.
	StateLoading State = "loading"
	// StateReady means that all guests run.
	StateReady State = "ready"
	// StateDegraded means that a guest ended and is being restarted.
	StateDegraded State = "degraded"
	// StateFailed means that the file cannot be loaded, or that a guest ended again and again; restarts go on, at the
	// longest pause.
	StateFailed State = "failed"
)

// Transport says how a plugin runs.
type Transport string

// Transports.
const (
	TransportWasm    Transport = "wasm"
	TransportProcess Transport = "process"
)

// Info describes one plugin file, for people and for /api/v1/plugins.
type Info struct {
	Name    string     `json:"name"`
	Version string     `json:"version,omitempty"`
	Kinds   []sdk.Kind `json:"kinds"`
	Keys    []string   `json:"keys"`
	// ContentTypes are the media types that a parser reads where the operator lists none.
	ContentTypes []string  `json:"contentTypes,omitempty"`
	State        State     `json:"state"`
	Transport    Transport `json:"transport"`
	Path         string    `json:"path"`
	// Digest is the file's SHA-256 in hexadecimal.
	Digest string `json:"digest,omitempty"`
	// Signature is what the signature beside the file is worth; empty for a file that was not read.
	Signature trust.Signature `json:"signature,omitzero"`
	// Asks are the config fields from which grants are derived.
	Asks sdk.Asks `json:"asks"`
	// Given are the grants of all guests together.
	Given Given `json:"given"`
	// Used counts what all guests, those that ended included, used of what was given, and what they were refused.
	Used grant.Used `json:"used"`
	// MemoryBytes is what all guests hold together; 0 if unknown.
	MemoryBytes uint64 `json:"memoryBytes"`
	Restarts    uint64 `json:"restarts"`
	// LastError is the last reason why a guest ended, or why the file cannot be loaded.
	LastError string `json:"lastError,omitempty"`
	// RefusedChange says why the plugin's part of the last change, of the config or of a file, did not come into force. What ran
	// before goes on.
	RefusedChange string `json:"refusedChange,omitempty"`
	// LastGroups is when the last update of a discovery came.
	LastGroups time.Time `json:"lastGroups,omitzero"`
	Uses       []UseInfo `json:"uses"`
}

// Given is what guests may reach.
type Given struct {
	HTTP  []string `json:"http"`
	Files []string `json:"files"`
	DNS   []string `json:"dns"`
	// Dial are targets of TCP connections.
	Dial []string `json:"dial"`
	// Env are names of environment variables; values are never shown.
	Env []string `json:"env"`
}

// UseInfo describes one use of a plugin.
type UseInfo struct {
	// Name is the claimed key, or the kind and the plugin's name.
	Name     string `json:"name"`
	Position string `json:"position,omitempty"`
	State    State  `json:"state"`
	// Place is where the guest runs: inline, worker or process.
	Place string `json:"place"`
	// Process is the id of the process in which the guest runs, which uses of a plugin can share; 0 for none of its own.
	Process int `json:"process,omitempty"`
}

// Plugins describes all plugin files that the applied config knows of, sorted by name.
func (c *Catalogue) Plugins() []Info {
	c.mu.Lock()
	files, uses, refused := c.files, c.uses, c.refused
	c.mu.Unlock()
	infos := make([]Info, 0, len(files))
	for _, f := range files {
		info := c.info(f, uses)
		if err := refused[f.name]; err != nil {
			info.RefusedChange = err.Error()
		}
		infos = append(infos, info)
	}
	slices.SortFunc(infos, func(a, b Info) int { return cmp.Compare(a.Name, b.Name) })
	return infos
}

func (c *Catalogue) info(f *file, uses []use) Info {
	info := Info{
		Name:    f.name,
		Version: f.manifest.Version,
		Kinds:   append([]sdk.Kind{}, f.manifest.Kinds...),
		Keys:    append([]string{}, f.manifest.Keys...),

		ContentTypes: f.manifest.ContentTypes,
		State:        StateUnused,
		Transport:    f.transport,
		Path:         f.path,
		Digest:       f.digest,
		Signature:    f.signature,
		Asks:         f.manifest.Asks,
		Given:        Given{HTTP: []string{}, Files: []string{}, DNS: []string{}, Dial: []string{}, Env: []string{}},
		Uses:         []UseInfo{},
	}
	if f.err != nil {
		info.State, info.LastError = StateFailed, f.err.Error()
	}
	seen := map[*unit]bool{}
	for _, u := range uses {
		if u.unit.file.name != f.name {
			continue
		}
		state := u.unit.addTo(&info, !seen[u.unit])
		seen[u.unit] = true
		info.Uses = append(info.Uses, UseInfo{Name: u.name, Position: u.position, State: state, Place: c.place(u.unit), Process: u.unit.processID()})
	}
	info.MemoryBytes = c.ledger.sum(f.name).MemoryBytes
	info.Given.HTTP = sorted(info.Given.HTTP)
	info.Given.Files = sorted(info.Given.Files)
	info.Given.DNS = sorted(info.Given.DNS)
	info.Given.Dial = sorted(info.Given.Dial)
	info.Used = c.ledger.used(f.name)
	info.Given.Env = sorted(info.Given.Env)
	return info
}

// addTo adds what the unit knows, if it is the first use of the unit, and returns its state.
func (u *unit) addTo(info *Info, first bool) State {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !first {
		return u.state
	}
	if severity(u.state) > severity(info.State) {
		info.State = u.state
	}
	info.Restarts += u.restarts
	if u.lastErr != nil {
		info.LastError = u.lastErr.Error()
	}
	if u.updated.After(info.LastGroups) {
		info.LastGroups = u.updated
	}
	info.Given.HTTP = append(info.Given.HTTP, u.grants.HTTP.Origins()...)
	info.Given.Files = append(info.Given.Files, u.grants.Files.Patterns()...)
	info.Given.DNS = append(info.Given.DNS, u.grants.DNS.Names()...)
	info.Given.Dial = append(info.Given.Dial, u.grants.TCP.Targets()...)
	info.Given.Env = append(info.Given.Env, u.grants.Env.Names()...)
	return u.state
}

func (u *unit) processID() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.process
}

func severity(s State) int {
	return slices.Index([]State{StateUnused, StateReady, StateLoading, StateDegraded, StateFailed}, s)
}

func sorted(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}
