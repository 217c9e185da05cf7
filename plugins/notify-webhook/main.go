// Command notify-webhook is the plugin behind webhook_notify_configs: alerts posted as JSON. See package webhook.
package main

import (
	"github.com/narthex-io/narthex/plugins/notify-webhook/webhook"
	"github.com/narthex-io/narthex/sdk/guest"
)

func main() { guest.Main(webhook.Plugin()) }
