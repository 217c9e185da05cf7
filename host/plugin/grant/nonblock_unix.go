//go:build unix

package grant

import "syscall"

// nonblock keeps open from waiting for a writer when a file turns out to be a pipe.
const nonblock = syscall.O_NONBLOCK
