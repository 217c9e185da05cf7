//go:build linux

package node

import (
	"context"
	"fmt"

	"github.com/prometheus/procfs"
)

// meminfo reads /proc/meminfo. Fields that the running kernel does not have are left out.
type meminfo struct{ proc procfs.FS }

func (c meminfo) collect(_ context.Context, _ readings, out *exposition) error {
	m, err := c.proc.Meminfo()
	if err != nil {
		return fmt.Errorf("read meminfo: %w", err)
	}
	for _, field := range meminfoFields(&m) {
		if field.value != nil {
			out.gauge("node_memory_"+field.name, "Field "+field.name+" of /proc/meminfo.", float64(*field.value))
		}
	}
	return nil
}

type memField struct {
	name  string
	value *uint64
}

// meminfoFields names the fields that node_exporter exports. All are bytes except the HugePages_ ones, which count
// pages.
func meminfoFields(m *procfs.Meminfo) []memField {
	return []memField{
		{"Active_anon_bytes", m.ActiveAnonBytes},
		{"Active_bytes", m.ActiveBytes},
		{"Active_file_bytes", m.ActiveFileBytes},
		{"AnonHugePages_bytes", m.AnonHugePagesBytes},
		{"AnonPages_bytes", m.AnonPagesBytes},
		{"Bounce_bytes", m.BounceBytes},
		{"Buffers_bytes", m.BuffersBytes},
		{"Cached_bytes", m.CachedBytes},
		{"CmaFree_bytes", m.CmaFreeBytes},
		{"CmaTotal_bytes", m.CmaTotalBytes},
		{"CommitLimit_bytes", m.CommitLimitBytes},
		{"Committed_AS_bytes", m.CommittedASBytes},
		{"DirectMap1G_bytes", m.DirectMap1GBytes},
		{"DirectMap2M_bytes", m.DirectMap2MBytes},
		{"DirectMap4k_bytes", m.DirectMap4kBytes},
		{"Dirty_bytes", m.DirtyBytes},
		{"HardwareCorrupted_bytes", m.HardwareCorruptedBytes},
		{"HugePages_Free", m.HugePagesFree},
		{"HugePages_Rsvd", m.HugePagesRsvd},
		{"HugePages_Surp", m.HugePagesSurp},
		{"HugePages_Total", m.HugePagesTotal},
		{"Hugepagesize_bytes", m.HugepagesizeBytes},
		{"Inactive_anon_bytes", m.InactiveAnonBytes},
		{"Inactive_bytes", m.InactiveBytes},
		{"Inactive_file_bytes", m.InactiveFileBytes},
		{"KernelStack_bytes", m.KernelStackBytes},
		{"Mapped_bytes", m.MappedBytes},
		{"MemAvailable_bytes", m.MemAvailableBytes},
		{"MemFree_bytes", m.MemFreeBytes},
		{"MemTotal_bytes", m.MemTotalBytes},
		{"Mlocked_bytes", m.MlockedBytes},
		{"NFS_Unstable_bytes", m.NFSUnstableBytes},
		{"PageTables_bytes", m.PageTablesBytes},
		{"Percpu_bytes", m.PercpuBytes},
		{"SReclaimable_bytes", m.SReclaimableBytes},
		{"SUnreclaim_bytes", m.SUnreclaimBytes},
		{"ShmemHugePages_bytes", m.ShmemHugePagesBytes},
		{"ShmemPmdMapped_bytes", m.ShmemPmdMappedBytes},
		{"Shmem_bytes", m.ShmemBytes},
		{"Slab_bytes", m.SlabBytes},
		{"SwapCached_bytes", m.SwapCachedBytes},
		{"SwapFree_bytes", m.SwapFreeBytes},
		{"SwapTotal_bytes", m.SwapTotalBytes},
		{"Unevictable_bytes", m.UnevictableBytes},
		{"VmallocChunk_bytes", m.VmallocChunkBytes},
		{"VmallocTotal_bytes", m.VmallocTotalBytes},
		{"VmallocUsed_bytes", m.VmallocUsedBytes},
		{"WritebackTmp_bytes", m.WritebackTmpBytes},
		{"Writeback_bytes", m.WritebackBytes},
		{"Zswap_bytes", m.ZswapBytes},
		{"Zswapped_bytes", m.ZswappedBytes},
	}
}
