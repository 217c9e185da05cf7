package consul

import (
	"encoding/json"
	"maps"
	"testing"
)

// TestGroup reads one instance as Consul 1.20 lists it.
func TestGroup(t *testing.T) {
	var i instance
	err := json.Unmarshal([]byte(`{
		"Node": {"ID": "3f", "Node": "n1", "Address": "10.0.0.1", "Datacenter": "dc1", "TaggedAddresses": {"lan": "10.0.0.1", "wan_ipv4": "1.2.3.4"}, "Meta": {"consul-version": "1.20.1"}},
		"Service": {"ID": "web1", "Service": "web", "Tags": ["a", "b"], "Address": "fd00::1", "Port": 8080, "Meta": {"team.x": "core"}, "TaggedAddresses": {"lan_ipv6": {"Address": "fd00::1", "Port": 8080}}},
		"Checks": [{"CheckID": "serfHealth", "Status": "passing"}, {"CheckID": "service:web1", "Status": "warning"}]}`), &i)
	if err != nil {
		t.Fatal(err)
	}
	g := i.group("web", "dc1", ";")
	if g.Source != "web" || len(g.Targets) != 1 || g.Targets[0] != "[fd00::1]:8080" {
		t.Errorf("%+v", g)
	}
	want := map[string]string{
		"__meta_consul_address": "10.0.0.1", "__meta_consul_node": "n1", "__meta_consul_dc": "dc1", "__meta_consul_health": "warning",
		"__meta_consul_service": "web", "__meta_consul_service_address": "fd00::1", "__meta_consul_service_id": "web1",
		"__meta_consul_service_port": "8080", "__meta_consul_tags": ";a;b;", "__meta_consul_metadata_consul_version": "1.20.1",
		"__meta_consul_service_metadata_team_x": "core", "__meta_consul_tagged_address_lan": "10.0.0.1",
		"__meta_consul_tagged_address_wan_ipv4": "1.2.3.4", "__meta_consul_namespace": "", "__meta_consul_partition": "",
	}
	if !maps.Equal(g.Labels, want) {
		t.Errorf("got  %v\nwant %v", g.Labels, want)
	}
	i.Service.Address = ""
	if g := i.group("web", "dc1", ","); g.Targets[0] != "10.0.0.1:8080" {
		t.Errorf("without an address of its own: %v", g.Targets)
	}
}

func TestHealth(t *testing.T) {
	type check = struct{ CheckID, Status string }
	for want, checks := range map[string][]check{
		"passing":     {{"a", "passing"}},
		"warning":     {{"a", "passing"}, {"b", "warning"}},
		"critical":    {{"a", "critical"}, {"b", "warning"}},
		"maintenance": {{"a", "critical"}, {"_service_maintenance:web1", "critical"}},
	} {
		if got := (&instance{Checks: checks}).health(); got != want {
			t.Errorf("%v is %s, want %s", checks, got, want)
		}
	}
	if got := (&instance{}).health(); got != "passing" {
		t.Errorf("no checks are %s", got)
	}
}
