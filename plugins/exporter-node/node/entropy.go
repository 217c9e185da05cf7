//go:build linux

package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/procfs"
)

// entropy reports /proc/sys/kernel/random. Since Linux 5.18 both numbers are always 256.
type entropy struct{ proc procfs.FS }

func (c entropy) collect(_ context.Context, _ readings, out *exposition) error {
	r, err := c.proc.KernelRandom()
	if err != nil {
		return fmt.Errorf("read kernel/random: %w", err)
	}
	if r.EntropyAvaliable == nil || r.PoolSize == nil {
		return errors.New("read kernel/random: entropy_avail or poolsize is missing")
	}
	out.gauge("node_entropy_available_bits", "Bits of entropy in the pool.", float64(*r.EntropyAvaliable))
	out.gauge("node_entropy_pool_size_bits", "Bits of entropy that the pool can hold.", float64(*r.PoolSize))
	return nil
}
