//go:build unix

package worker

import "golang.org/x/sys/unix"

// niceness is what a compilation is among what else the machine does: the server's scrapes come first.
const niceness = 10

// lowerPriority lowers that of all threads of this process, which is alone in its group: of a process, Linux would change one thread.
func lowerPriority() { _ = unix.Setpriority(unix.PRIO_PGRP, 0, niceness) } // Compiles as well without.
