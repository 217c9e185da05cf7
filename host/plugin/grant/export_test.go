package grant

import (
	"net/http"
	"net/netip"
	"slices"
)

// NewHTTP is newHTTP with urls that the operator wrote.
func NewHTTP(urls []string, client *http.Client) (*HTTP, error) {
	return newHTTP(fields{written: urls}, Options{Client: client}, credentials{}, Implied{})
}

// AWSVariables returns awsVariables.
func AWSVariables() []string { return slices.Clone(awsVariables) }

// CheckAddress is place.check.
func CheckAddress(host string, written bool, ip netip.Addr, granted ...netip.Prefix) error {
	p := place{host: host, written: written, rules: &addresses{granted: granted}}
	return p.check(ip)
}

// IsOwn is place.isLocal with another hosts file.
func IsOwn(host, file string) bool {
	p := place{host: host, rules: &addresses{hostsFile: file}}
	return p.isLocal()
}
