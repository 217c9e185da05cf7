package session

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/narthex-io/narthex/sdk"
)

// maxUpdateElements bounds the groups, targets and labels of one update together: in memory, an element takes many times the two or
// three bytes that it can be written with.
const maxUpdateElements = 4 << 20

// decodeUpdate decodes the payload of GROUPS.
func decodeUpdate(payload []byte) ([]sdk.Group, error) {
	// Counted before anything is decoded, and too much rather than too little: a comma can also stand in a label's value.
	if n := bytes.Count(payload, []byte{','}); n > maxUpdateElements {
		return nil, &EndError{Reason: ReasonTargets, Detail: fmt.Sprintf("an update of about %d groups, targets and labels; the limit is %d", n, maxUpdateElements)}
	}
	var groups []sdk.Group
	if err := json.Unmarshal(payload, &groups); err != nil {
		return nil, protocolError("GROUPS: %v", err)
	}
	return groups, nil
}

// maxHelloBytes is the largest manifest.
const maxHelloBytes = 64 << 10

// maxTextBytes is how much of a guest's message goes into errors, and with them into logs and answers of the API.
const maxTextBytes = 4 << 10

// clip returns a guest's message, cut if it is longer than anyone would read.
func clip(message []byte) string {
	if len(message) <= maxTextBytes {
		return string(message)
	}
	return strings.ToValidUTF8(string(message[:maxTextBytes]), "") + "…"
}
