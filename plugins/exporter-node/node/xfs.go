//go:build linux

package node

import (
	"context"
	"fmt"

	"github.com/prometheus/procfs/xfs"
)

// xfsStats reports the runtime statistics of the mounted XFS file systems, /sys/fs/xfs/*/stats/stats.
type xfsStats struct{ fs xfs.FS }

func newXFS(s sources) (xfsStats, error) {
	fs, err := xfs.NewFS(s.cfg.PathProcfs, s.cfg.PathSysfs)
	return xfsStats{fs}, err
}

func (c xfsStats) collect(_ context.Context, _ readings, out *exposition) error {
	all, err := c.fs.SysStats()
	if err != nil {
		return fmt.Errorf("read XFS statistics: %w", err)
	}
	for _, s := range all {
		for _, v := range xfsValues(s) {
			out.counter("node_xfs_"+v.name+"_total", "Runtime statistic "+v.name+" of the XFS file system.", float64(v.value),
				label{"device", s.Name})
		}
	}
	return nil
}

type xfsValue struct {
	name  string
	value uint32
}

func xfsValues(s *xfs.Stats) []xfsValue {
	return []xfsValue{
		{"allocation_btree_compares", s.AllocationBTree.Compares},
		{"allocation_btree_lookups", s.AllocationBTree.Lookups},
		{"allocation_btree_records_deleted", s.AllocationBTree.RecordsDeleted},
		{"allocation_btree_records_inserted", s.AllocationBTree.RecordsInserted},
		{"block_map_btree_compares", s.BlockMapBTree.Compares},
		{"block_map_btree_lookups", s.BlockMapBTree.Lookups},
		{"block_map_btree_records_deleted", s.BlockMapBTree.RecordsDeleted},
		{"block_map_btree_records_inserted", s.BlockMapBTree.RecordsInserted},
		{"block_mapping_extent_list_compares", s.BlockMapping.ExtentListCompares},
		{"block_mapping_extent_list_deletions", s.BlockMapping.ExtentListDeletions},
		{"block_mapping_extent_list_insertions", s.BlockMapping.ExtentListInsertions},
		{"block_mapping_extent_list_lookups", s.BlockMapping.ExtentListLookups},
		{"block_mapping_reads", s.BlockMapping.Reads},
		{"block_mapping_unmaps", s.BlockMapping.Unmaps},
		{"block_mapping_writes", s.BlockMapping.Writes},
		{"directory_operation_create", s.DirectoryOperation.Creates},
		{"directory_operation_getdents", s.DirectoryOperation.Getdents},
		{"directory_operation_lookup", s.DirectoryOperation.Lookups},
		{"directory_operation_remove", s.DirectoryOperation.Removes},
		{"extent_allocation_blocks_allocated", s.ExtentAllocation.BlocksAllocated},
		{"extent_allocation_blocks_freed", s.ExtentAllocation.BlocksFreed},
		{"extent_allocation_extents_allocated", s.ExtentAllocation.ExtentsAllocated},
		{"extent_allocation_extents_freed", s.ExtentAllocation.ExtentsFreed},
		{"inode_operation_attempts", s.InodeOperation.Attempts},
		{"inode_operation_attribute_changes", s.InodeOperation.AttributeChange},
		{"inode_operation_duplicates", s.InodeOperation.Duplicate},
		{"inode_operation_found", s.InodeOperation.Found},
		{"inode_operation_missed", s.InodeOperation.Missed},
		{"inode_operation_reclaims", s.InodeOperation.Reclaims},
		{"inode_operation_recycled", s.InodeOperation.Recycle},
		{"read_calls", s.ReadWrite.Read},
		{"vnode_active", s.Vnode.Active},
		{"vnode_allocate", s.Vnode.Allocate},
		{"vnode_get", s.Vnode.Get},
		{"vnode_hold", s.Vnode.Hold},
		{"vnode_reclaim", s.Vnode.Reclaim},
		{"vnode_release", s.Vnode.Release},
		{"vnode_remove", s.Vnode.Remove},
		{"write_calls", s.ReadWrite.Write},
	}
}
