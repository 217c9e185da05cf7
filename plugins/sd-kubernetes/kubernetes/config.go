package kubernetes

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/guest/section"
)

// Role is the kind of object that targets are made of.
type Role string

// The roles.
const (
	RoleNode          Role = "node"
	RolePod           Role = "pod"
	RoleService       Role = "service"
	RoleEndpoints     Role = "endpoints"
	RoleEndpointSlice Role = "endpointslice"
	RoleIngress       Role = "ingress"
)

// read are the kinds of objects that a role reads, for which a selector may be given.
func (r Role) read() []Role {
	switch r {
	case RoleNode, RoleService, RoleIngress:
		return []Role{r}
	case RolePod:
		return []Role{r, RoleNode}
	case RoleEndpoints, RoleEndpointSlice:
		return []Role{r, RolePod, RoleService}
	}
	return nil
}

// Config is one entry of kubernetes_sd_configs, without the fields of the HTTP client, which is the host's.
type Config struct {
	// APIServer is the address of the API; empty means that of the cluster in which the plugin runs, or the kubeconfig's.
	APIServer string `json:"api_server"`
	Role      Role   `json:"role"`
	// KubeConfig is a file that says where the API is and how to log in.
	KubeConfig string     `json:"kubeconfig_file"`
	Namespaces Namespaces `json:"namespaces"`
	Selectors  []Selector `json:"selectors"`
	Attach     Attach     `json:"attach_metadata"`
}

// Namespaces bound what is read; none means all.
type Namespaces struct {
	// Own adds the namespace that the plugin runs in.
	Own   bool     `json:"own_namespace"`
	Names []string `json:"names"`
}

// Selector bounds the objects of a kind.
type Selector struct {
	Role  Role   `json:"role"`
	Label string `json:"label"`
	Field string `json:"field"`
}

// Attach says which labels targets get of objects that they belong to.
type Attach struct {
	Node       bool `json:"node"`
	Namespace  bool `json:"namespace"`
	Deployment bool `json:"deployment"`
	Job        bool `json:"job"`
	CronJob    bool `json:"cronjob"`
}

// ParseConfig decodes an entry strictly. Errors name the field.
func ParseConfig(text sdk.Config) (Config, error) {
	var c Config
	if err := section.Decode(text, &c); err != nil {
		return c, err
	}
	if c.Role == "" {
		return c, errors.New("role: missing; it is one of node, pod, service, endpoints, endpointslice and ingress")
	}
	c.Role = Role(strings.ToLower(string(c.Role)))
	if c.Role.read() == nil {
		return c, fmt.Errorf("role: %q is none of node, pod, service, endpoints, endpointslice and ingress", c.Role)
	}
	if c.APIServer != "" && c.KubeConfig != "" {
		return c, errors.New("kubeconfig_file: there is api_server too; only one of them can say where the API is")
	}
	if c.APIServer != "" {
		if u, err := url.Parse(c.APIServer); err != nil || u.Host == "" {
			return c, fmt.Errorf("api_server: %q is not a URL such as https://10.0.0.1:6443", c.APIServer)
		}
		if c.Namespaces.Own {
			return c, errors.New("namespaces.own_namespace: with api_server there is no own namespace; name it in namespaces.names")
		}
	}
	if c.KubeConfig != "" && c.Namespaces.Own {
		return c, errors.New("namespaces.own_namespace: with kubeconfig_file there is no own namespace; name it in namespaces.names")
	}
	return c, c.checkSelectors()
}

func (c *Config) checkSelectors() error {
	seen := map[Role]bool{}
	for i, s := range c.Selectors {
		at := fmt.Sprintf("selectors[%d]", i)
		s.Role = Role(strings.ToLower(string(s.Role)))
		c.Selectors[i].Role = s.Role
		if !slices.Contains(c.Role.read(), s.Role) {
			return fmt.Errorf("%s.role: the role %s does not read objects of the kind %q; it reads %v", at, c.Role, s.Role, c.Role.read())
		}
		if seen[s.Role] {
			return fmt.Errorf("%s.role: there is a selector for %s already", at, s.Role)
		}
		seen[s.Role] = true
		if _, err := labels.Parse(s.Label); err != nil {
			return fmt.Errorf("%s.label: %w", at, err)
		}
		if _, err := fields.ParseSelector(s.Field); err != nil {
			return fmt.Errorf("%s.field: %w", at, err)
		}
	}
	return nil
}

// selector returns the one for a kind of object; the zero one selects all.
func (c *Config) selector(r Role) Selector {
	for _, s := range c.Selectors {
		if s.Role == r {
			return s
		}
	}
	return Selector{}
}
