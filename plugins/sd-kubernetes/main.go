// Command sd-kubernetes is the plugin behind kubernetes_sd_configs: targets from the Kubernetes API. See package kubernetes.
package main

import (
	"github.com/narthex-io/narthex/plugins/sd-kubernetes/kubernetes"
	"github.com/narthex-io/narthex/sdk/guest"
)

func main() { guest.Main(kubernetes.Plugin()) }
