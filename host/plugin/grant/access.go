package grant

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// access is what [Set.Access] says.
func (s *Set) access(o Options, c credentials) string {
	if len(o.AccessKey) == 0 {
		return ""
	}
	h := hmac.New(sha256.New, o.AccessKey)
	for _, part := range []any{
		o.ClientKey, o.BaseDir, o.Key, c.header, c.username, c.password, s.HTTP.Origins(), o.HTTP, s.Files.Patterns(), o.Files, s.DNS.Names(),
		s.TCP.Targets(), o.Addresses, map[string]string(s.Env),
	} {
		fmt.Fprintf(h, "%#v\n", part) // never fails; maps are printed in the order of their keys
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
