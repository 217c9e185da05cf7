// Package send writes what this server stores to others, by Prometheus's remote write, 1.0 and 2.0.
//
// Start with [Config], an entry of remote_write, and [Manager], which has a queue for each of them. A queue follows the
// write-ahead log (queue.go, follow.go), knows the series that the log names by the bytes with which a request names them
// (series.go, names.go), and hands samples (batch.go) to shards (shard.go), each of which encodes requests (encode1.go,
// encode2.go), posts them and tries again what failed (deliver.go, client.go). reshard.go says how many shards there are.
//
// The log is the buffer: whoever is slow lags behind in it and keeps nobody else waiting. What is deleted from the log
// before it was sent is counted. Nothing is kept across restarts: a queue begins where the log is when it starts.
package send
