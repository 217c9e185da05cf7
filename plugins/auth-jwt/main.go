// Command auth-jwt is the plugin behind jwt_auth: requests to the server prove who sent them with a signed token. See
// package jwtauth.
package main

import (
	"github.com/narthex-io/narthex/plugins/auth-jwt/jwtauth"
	"github.com/narthex-io/narthex/sdk/guest"
)

func main() { guest.Main(jwtauth.Plugin()) }
