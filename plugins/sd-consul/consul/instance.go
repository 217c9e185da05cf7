package consul

import (
	"net"
	"strconv"
	"strings"

	"github.com/narthex-io/narthex/sdk"
)

// instance is what Consul tells of one instance of a service.
type instance struct {
	Node struct {
		Node, Address, Datacenter, Partition string
		TaggedAddresses, Meta                map[string]string
	}
	Service struct {
		ID, Service, Address, Namespace, Partition string
		Port                                       int
		Tags                                       []string
		Meta                                       map[string]string
	}
	Checks []struct{ CheckID, Status string }
}

const prefix = "__meta_consul_"

// group returns the instance as a target of a service in a datacenter.
func (i *instance) group(service, datacenter, separator string) sdk.Group {
	host := i.Service.Address
	if host == "" {
		host = i.Node.Address
	}
	labels := map[string]string{
		prefix + "address":         i.Node.Address,
		prefix + "node":            i.Node.Node,
		prefix + "dc":              datacenter,
		prefix + "health":          i.health(),
		prefix + "namespace":       i.Service.Namespace,
		prefix + "partition":       i.Service.Partition,
		prefix + "service":         service,
		prefix + "service_address": i.Service.Address,
		prefix + "service_id":      i.Service.ID,
		prefix + "service_port":    strconv.Itoa(i.Service.Port),
		// Separators around the list, too, so that an expression can look for one tag among them.
		prefix + "tags": separator + strings.Join(i.Service.Tags, separator) + separator,
	}
	for key, value := range i.Node.Meta {
		labels[prefix+"metadata_"+labelName(key)] = value
	}
	for key, value := range i.Service.Meta {
		labels[prefix+"service_metadata_"+labelName(key)] = value
	}
	for key, value := range i.Node.TaggedAddresses {
		labels[prefix+"tagged_address_"+labelName(key)] = value
	}
	return sdk.Group{Source: service, Targets: []string{net.JoinHostPort(host, strconv.Itoa(i.Service.Port))}, Labels: labels}
}

// health is the worst state of the instance's checks.
func (i *instance) health() string {
	worst := "passing"
	for _, c := range i.Checks {
		switch {
		case c.CheckID == "_node_maintenance" || strings.HasPrefix(c.CheckID, "_service_maintenance:"):
			return "maintenance"
		case c.Status == "critical":
			worst = "critical"
		case c.Status == "warning" && worst == "passing":
			worst = "warning"
		}
	}
	return worst
}

// labelName replaces what may not stand in a label's name.
func labelName(key string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_':
			return r
		}
		return '_'
	}, key)
}
