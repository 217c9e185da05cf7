package session

import (
	"errors"
	"fmt"
	"strings"

	"github.com/narthex-io/narthex/sdk/wire"
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
	// ReasonMessage is a frame over the limit.
	ReasonMessage Reason = "message_limit"
	// ReasonOutput is an answer over the limit.
	ReasonOutput Reason = "output_limit"
	// ReasonRequests means too many HTTP requests or look-ups at once.
	ReasonRequests Reason = "request_limit"
	// ReasonFiles means too many requests for files, or watches, at once.
	ReasonFiles Reason = "file_limit"
	// ReasonConnections means too many TCP connections at once.
	ReasonConnections Reason = "connection_limit"
	// ReasonLog means that the guest did not stop writing many times more log lines than it may.
	ReasonLog Reason = "log_limit"
	// ReasonTargets means more targets than a discovery may have.
	ReasonTargets Reason = "target_limit"
	// ReasonQueue means that the guest did not read what waits for it.
	ReasonQueue Reason = "queue_limit"
	// ReasonSibling means that the guest shared its process with another one that had to be ended by force.
	ReasonSibling Reason = "sibling"
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

// IsLimit reports whether r says that a limit was exceeded.
func (r Reason) IsLimit() bool {
	switch r {
	case ReasonMemory, ReasonDeadline, ReasonMessage, ReasonOutput, ReasonRequests, ReasonFiles, ReasonConnections, ReasonLog, ReasonQueue, ReasonTargets:
		return true
	}
	return false
}

// ReasonOf returns the reason of the first *[EndError] or *[LimitError] in err, or "" when there is none.
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*EndError](err); ok {
		return e.Reason
	}
	if e, ok := errors.AsType[*LimitError](err); ok {
		return e.Reason
	}
	return ""
}

// LimitError is the error of a call that exceeded one of the guest's limits; the guest itself goes on.
type LimitError struct {
	Reason Reason
	Err    error
}

// Error implements error.
func (e *LimitError) Error() string { return e.Err.Error() }

// Unwrap returns what happened.
func (e *LimitError) Unwrap() error { return e.Err }

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

// guestError makes an error of what a guest answered to a call. One that starts with the reason for a limit of which
// the guest itself takes care, as the SDK's do, is a *[LimitError].
func guestError(plugin, message string) error {
	err := &CallError{Plugin: plugin, Message: message}
	for prefix, reason := range map[string]Reason{wire.OutputLimit: ReasonOutput, wire.MessageLimit: ReasonMessage} {
		if strings.HasPrefix(message, prefix) {
			return &LimitError{Reason: reason, Err: err}
		}
	}
	return err
}

func protocolError(format string, args ...any) error {
	return &EndError{Reason: ReasonProtocol, Detail: fmt.Sprintf(format, args...)}
}
