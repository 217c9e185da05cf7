//go:build linux

package node

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"github.com/prometheus/procfs/nfs"
)

// nfsClient reports /proc/net/rpc/nfs, which is there once the kernel's NFS client is loaded.
type nfsClient struct{ fs nfs.FS }

func newNFSClient(s sources) (nfsClient, error) {
	fs, err := nfs.NewFS(s.cfg.PathProcfs)
	return nfsClient{fs}, err
}

func (c nfsClient) collect(_ context.Context, _ readings, out *exposition) error {
	s, err := c.fs.ClientRPCStats()
	if err != nil {
		return fmt.Errorf("read rpc/nfs: %w", absent(err))
	}
	for _, p := range [...]struct {
		protocol string
		packets  uint64
	}{{"tcp", s.Network.TCPCount}, {"udp", s.Network.UDPCount}} {
		out.counter("node_nfs_packets_total", "Packets of the NFS client, by protocol.", float64(p.packets),
			label{"protocol", p.protocol})
	}
	out.counter("node_nfs_connections_total", "TCP connections of the NFS client.", float64(s.Network.TCPConnect))
	out.counter("node_nfs_rpcs_total", "Remote calls of the NFS client.", float64(s.ClientRPC.RPCCount))
	out.counter("node_nfs_rpc_retransmissions_total", "Remote calls that the NFS client sent again.",
		float64(s.ClientRPC.Retransmissions))
	out.counter("node_nfs_rpc_authentication_refreshes_total", "How often the NFS client renewed its credentials.",
		float64(s.ClientRPC.AuthRefreshes))
	const name, help = "node_nfs_requests_total", "Calls of the NFS client, by version and procedure."
	addProcedures(out, name, help, "2", s.V2Stats)
	addProcedures(out, name, help, "3", s.V3Stats)
	addProcedures(out, name, help, "4", s.ClientV4Stats)
	return nil
}

// addProcedures reports the fields of a struct of counters, except those that are named.
func addProcedures(out *exposition, name, help, version string, counts any, except ...string) {
	v := reflect.ValueOf(counts)
	for field, value := range v.Fields() {
		if !slices.Contains(except, field.Name) {
			out.counter(name, help, float64(value.Uint()), label{"method", field.Name}, label{"proto", version})
		}
	}
}
