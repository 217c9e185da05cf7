package process

import (
	"errors"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/narthex-io/narthex/host/plugin/session"
)

// EncodeEnd returns err, with which a guest inside a child ended, as an error for the stream, from which a [Child] whose
// options say Reasons knows the reason again. Nil stays nil.
func EncodeEnd(err error) error {
	if err == nil {
		return nil
	}
	end := &session.EndError{Reason: session.ReasonError, Detail: err.Error()}
	if known, ok := errors.AsType[*session.EndError](err); ok {
		end = known
	}
	return status.Error(codes.Aborted, strings.Join([]string{string(end.Reason), strconv.Itoa(end.Code), end.Detail}, "\n"))
}

// decodeEnd undoes EncodeEnd; nil means that err is something else.
func decodeEnd(err error) *session.EndError {
	s, ok := status.FromError(err)
	if !ok || s.Code() != codes.Aborted {
		return nil
	}
	parts := strings.SplitN(s.Message(), "\n", 3)
	if len(parts) != 3 {
		return nil
	}
	if code, err := strconv.Atoi(parts[1]); err == nil {
		return &session.EndError{Reason: session.Reason(parts[0]), Code: code, Detail: parts[2]}
	}
	return nil
}
