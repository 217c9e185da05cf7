//go:build linux

package node

import (
	"context"
	"fmt"

	"github.com/prometheus/procfs/nfs"
)

// nfsServer reports /proc/net/rpc/nfsd, which is there once the kernel's NFS server is loaded.
type nfsServer struct{ fs nfs.FS }

func newNFSServer(s sources) (nfsServer, error) {
	fs, err := nfs.NewFS(s.cfg.PathProcfs)
	return nfsServer{fs}, err
}

func (c nfsServer) collect(_ context.Context, _ readings, out *exposition) error {
	s, err := c.fs.ServerRPCStats()
	if err != nil {
		return fmt.Errorf("read rpc/nfsd: %w", absent(err))
	}
	for _, m := range [...]struct {
		name, help string
		value      uint64
	}{
		{"reply_cache_hits_total", "Calls that the reply cache answered.", s.ReplyCache.Hits},
		{"reply_cache_misses_total", "Calls that went into the reply cache.", s.ReplyCache.Misses},
		{"reply_cache_nocache_total", "Calls that need no reply cache.", s.ReplyCache.NoCache},
		{"file_handles_stale_total", "Stale file handles.", s.FileHandles.Stale},
		{"disk_bytes_read_total", "Bytes read.", s.InputOutput.Read},
		{"disk_bytes_written_total", "Bytes written.", s.InputOutput.Write},
		{"read_ahead_cache_not_found_total", "Look-ups that the read-ahead cache could not answer.", s.ReadAheadCache.NotFound},
		{"connections_total", "TCP connections.", s.Network.TCPConnect},
		{"server_rpcs_total", "Remote calls.", s.ServerRPC.RPCCount},
	} {
		out.counter("node_nfsd_"+m.name, "NFS server: "+m.help, float64(m.value))
	}
	out.gauge("node_nfsd_server_threads", "Threads of the NFS server.", float64(s.Threads.Threads))
	out.gauge("node_nfsd_read_ahead_cache_size_blocks", "Blocks of the NFS server's read-ahead cache.",
		float64(s.ReadAheadCache.CacheSize))
	addLabelled(out, "node_nfsd_packets_total", "Packets of the NFS server, by protocol.", "proto",
		count{"tcp", s.Network.TCPCount}, count{"udp", s.Network.UDPCount})
	addLabelled(out, "node_nfsd_rpc_errors_total", "Remote calls that the NFS server refused, by reason.", "error",
		count{"auth", s.ServerRPC.BadAuth}, count{"cInt", s.ServerRPC.BadcInt}, count{"fmt", s.ServerRPC.BadFmt})

	const name, help = "node_nfsd_requests_total", "Calls that the NFS server answered, by version and procedure."
	addProcedures(out, name, help, "2", s.V2Stats, "Null")
	addProcedures(out, name, help, "3", s.V3Stats, "Null")
	addProcedures(out, name, help, "4", s.V4Ops, "Op0Unused", "Op1Unused", "Op2Future", "PutPubFH", "PutRootFH")
	out.counter(name, help, float64(s.WdelegGetattr), label{"method", "WdelegGetattr"}, label{"proto", "4"})
	return nil
}

// count is one of several counters that a label tells apart.
type count struct {
	label string
	value uint64
}

func addLabelled(out *exposition, name, help, by string, counts ...count) {
	for _, c := range counts {
		out.counter(name, help, float64(c.value), label{by, c.label})
	}
}
