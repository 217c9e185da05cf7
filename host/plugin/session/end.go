package session

import (
	"errors"
	"fmt"
)

// Reason says in one word why a guest ended; it is a metric's label value.
type Reason string

// Reasons for a guest's end.
const (
	// ReasonExit is an exit nobody asked for; Code has its status.
	ReasonExit Reason = "exit"
	// ReasonTrap is a wasm trap or a signal.
	ReasonTrap Reason = "trap"
	// ReasonMemory means that the guest wanted more memory than its limit.
	ReasonMemory Reason = "memory"
	// ReasonDeadline means that the host ended a guest that did not answer in time.
	ReasonDeadline Reason = "deadline"
	// ReasonProtocol is a frame that makes no sense.
	ReasonProtocol Reason = "protocol"
	// ReasonOutput is a message over the limit.
	ReasonOutput Reason = "output_limit"
	// ReasonRequests means too many requests at once.
	ReasonRequests Reason = "request_limit"
	// ReasonError means that the guest itself said that it cannot go on.
	ReasonError Reason = "error"
	// ReasonClosed means that the host closed the transport.
	ReasonClosed Reason = "closed"
)

// EndError says why a guest ended.
type EndError struct {
	Reason Reason
	// Code is the exit status, for ReasonExit.
	Code int
	// Detail is for people.
	Detail string
}

// Error implements error.
func (e *EndError) Error() string {
	if e.Detail == "" {
		return fmt.Sprintf("guest ended (%s)", e.Reason)
	}
	return fmt.Sprintf("guest ended (%s): %s", e.Reason, e.Detail)
}

// ReasonOf returns the reason of the first *[EndError] in err, or "" when there is none.
func ReasonOf(err error) Reason {
	if e := (*EndError)(nil); errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// ConfigError is a guest's refusal of its config.
type ConfigError struct {
	Plugin string
	// Message is the guest's own.
	Message string
}

// Error implements error.
func (e *ConfigError) Error() string { return fmt.Sprintf("plugin %s: %s", e.Plugin, e.Message) }

// CallError is a guest's answer to a call that failed; the guest itself goes on.
type CallError struct {
	Plugin string
	// Message is the guest's own.
	Message string
}

// Error implements error.
func (e *CallError) Error() string { return fmt.Sprintf("plugin %s: %s", e.Plugin, e.Message) }

func protocolError(format string, args ...any) error {
	return &EndError{Reason: ReasonProtocol, Detail: fmt.Sprintf(format, args...)}
}
