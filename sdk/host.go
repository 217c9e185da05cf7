package sdk

import (
	"context"
	"io"
	"io/fs"
	"log/slog"
)

// Host is what a guest can reach outside itself. Everything in it is limited to what the operator granted; a
// refusal is an error that says what was not granted.
type Host struct {
	// Log reaches the host's log, with the plugin's name attached.
	Log *slog.Logger
	// HTTP sends a request through the host's client, which adds the credentials that the operator configured; the
	// guest never sees them.
	HTTP HTTPClient
	// Files reads granted files.
	Files Files
	// DNS looks granted names up.
	DNS DNS
	// Dial connects to granted targets over TCP.
	Dial DialFunc
	// Access is the same for sections that can reach the same through this Host, with the same credentials: what one of them
	// has read, another may see. It says nothing else, and changes with each start of the host. It is empty for a plugin whose
	// manifest does not say Shared, and then nothing may be shared.
	Access string
	// Getenv returns the value that a granted environment variable had when the plugin was started, and "" for all others.
	Getenv func(name string) string
}

// Request is an HTTP request of a guest.
type Request struct {
	Method string              `json:"method"`
	URL    string              `json:"url"`
	Header map[string][]string `json:"header,omitempty"`
	Body   []byte              `json:"body,omitempty"`
}

// Response is the answer to a [Request]; the body is read in pulls, so that a guest sets the pace.
type Response struct {
	Status int                 `json:"status"`
	Header map[string][]string `json:"header,omitempty"`
	Body   io.ReadCloser       `json:"-"`
}

// HTTPClient does HTTP through the host.
type HTTPClient interface {
	// Do sends r and returns when the response's header is there. The caller closes the body.
	Do(ctx context.Context, r Request) (*Response, error)
}

// Files is the granted part of the host's file system.
type Files interface {
	// ReadFile returns a granted file's content. Names are the paths that the operator wrote, resolved against the
	// config file's folder when relative.
	ReadFile(name string) ([]byte, error)
	// Glob returns the granted files that match pattern, sorted.
	Glob(pattern string) ([]string, error)
	// Stat describes a granted file.
	Stat(name string) (fs.FileInfo, error)
	// Changes delivers, until ctx is done, a value as soon as the host watches and then after something granted may have
	// changed. Bursts are folded into one value.
	Changes(ctx context.Context) <-chan struct{}
}

// DNSType is the type of a DNS record.
type DNSType string

// The types that can be looked up.
const (
	DNSTypeSRV  DNSType = "SRV"
	DNSTypeA    DNSType = "A"
	DNSTypeAAAA DNSType = "AAAA"
	DNSTypeMX   DNSType = "MX"
	DNSTypeNS   DNSType = "NS"
)

// DNSRecord is an answer of the domain name system.
type DNSRecord struct {
	// Target is the address of an A or AAAA record, else the host's name as it was answered, with its last dot.
	Target string
	// Port is that of an SRV record.
	Port uint16
}

// DNS looks names up, as the host's resolver does: with its servers, its search list and its hosts file.
type DNS interface {
	// Lookup returns the records of a granted name. A name that does not exist has none.
	Lookup(ctx context.Context, t DNSType, name string) ([]DNSRecord, error)
}
