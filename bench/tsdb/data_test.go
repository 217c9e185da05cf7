package tsdb

import (
	"fmt"
	"math"
	"strconv"
)

// kind says how the value of a series moves from one scrape to the next.
type kind uint8

const (
	constant kind = iota
	counter       // whole numbers
	seconds       // a counter of hundredths
	nanos         // a counter of billionths, as sums of durations are
	walk          // a small gauge
	pages         // a gauge in pages of 4 KiB
	load          // a gauge with two decimals
	clock         // seconds since 1970
	bucket        // cumulative: what the buckets below count is in it
	count         // equals the last bucket
)

// series is one series of a target: name and value in turns, sorted by name, without the target's own labels.
type series struct {
	labels []string
	kind   kind
	// chance is that of a change, in thousandths, step the largest change, first the lowest bucket of a histogram.
	chance, step int
	first        bool
	id           uint64
	acc          int64
}

// target is what one scrape brings in: like a node exporter, or like an instrumented service.
type target struct {
	number int
	labels []string
	series []series
	values []float64
	time   int64
}

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb
	return x ^ (x >> 31)
}

// newTargets returns targets with n series in all, a third of them of machines.
func newTargets(n int) []*target {
	var all []*target
	total, machines := 0, 0
	for total < n {
		t := &target{number: len(all)}
		if 3*machines <= total {
			t.machine()
			machines += len(t.series)
		} else {
			t.service()
		}
		t.series = t.series[:min(len(t.series), n-total)]
		total += len(t.series)
		t.values = make([]float64, len(t.series))
		for i := range t.series {
			s := &t.series[i]
			s.id = mix(uint64(t.number)<<32 | uint64(i))
			if s.kind != constant {
				s.acc = int64(s.id % uint64(1+min(2_000_000_000, 50*s.chance*s.step)))
			}
		}
		all = append(all, t)
	}
	return all
}

// scrape moves all series on to the scrape number n, at a time in milliseconds. Now and then one is late.
func (t *target) scrape(n int, time int64) {
	t.time = time + int64(mix(uint64(t.number))%10_000)
	if late := mix(uint64(t.number)<<20 + uint64(n)); late%50 == 0 {
		t.time += int64(late >> 32 % 40)
	}
	var below int64
	for i := range t.series {
		s := &t.series[i]
		r := mix(s.id + uint64(n)*0x9e3779b97f4a7c15)
		change := int64(0)
		if int(r%1000) < s.chance {
			change = 1 + int64(r>>20)%int64(s.step)
		}
		switch s.kind {
		case walk, pages, load:
			if r>>63 != 0 {
				change = -change
			}
			s.acc = max(s.acc+change, 0)
		case bucket:
			if s.first {
				below = 0
			}
			s.acc += change
			below += s.acc
		default:
			s.acc += change
		}
		t.values[i] = s.value(below, t.time)
	}
}

func (s *series) value(below, time int64) float64 {
	switch s.kind {
	case bucket, count:
		return float64(below)
	case seconds, load:
		return float64(s.acc) / 100
	case nanos:
		return float64(s.acc) * 1013 / 1e9
	case pages:
		return float64(s.acc) * 4096
	case clock:
		return float64(time)/1000 + float64(s.id%1000)/1e6
	}
	return float64(s.acc)
}

// add adds a series; kv are its labels but for the name, sorted. Upper-case names would come before __name__.
func (t *target) add(name string, k kind, chance, step int, kv ...string) *series {
	t.series = append(t.series, series{labels: append([]string{"__name__", name}, kv...), kind: k, chance: chance, step: max(step, 1)})
	return &t.series[len(t.series)-1]
}

// histogram adds a classic histogram that changes with the given chance.
func (t *target) histogram(name string, chance int, kv ...string) {
	bounds := [...]string{"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"}
	for i, le := range bounds {
		d := float64(i) - 4 // Most observations fall into the middle.
		s := t.add(name+"_bucket", bucket, int(float64(chance)*math.Exp(-d*d/6)), 1+chance/40, append([]string{"le", le}, kv...)...)
		s.first = i == 0
	}
	t.add(name+"_sum", nanos, chance, 2_000_000, kv...)
	t.add(name+"_count", count, 0, 0, kv...)
}

// machine fills the target with what a node exporter shows: some 900 series.
func (t *target) machine() {
	t.labels = []string{"cluster", "eu-west-" + strconv.Itoa(1+t.number%3), "instance", fmt.Sprintf("node-%05d.example.internal:9100", t.number), "job", "node"}
	for cpu := range 16 {
		c := strconv.Itoa(cpu)
		for m, mode := range [...]string{"idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"} {
			t.add("node_cpu_seconds_total", seconds, [...]int{1000, 300, 0, 5, 200, 0, 950, 990}[m], [...]int{1500, 8, 1, 2, 4, 1, 90, 300}[m], "cpu", c, "mode", mode)
		}
		t.add("node_softnet_processed_total", counter, 1000, 4000, "cpu", c)
		t.add("node_softnet_dropped_total", counter, 0, 1, "cpu", c)
		t.add("node_schedstat_running_seconds_total", nanos, 1000, 2_000_000, "cpu", c)
		t.add("node_schedstat_timeslices_total", counter, 1000, 30_000, "cpu", c)
	}
	for d, device := range [...]string{"nvme0n1", "nvme1n1", "sda", "dm-0"} {
		for i, m := range [...]string{"reads_completed", "reads_merged", "read_bytes", "writes_completed", "writes_merged", "written_bytes", "discards_completed", "flush_requests"} {
			t.add("node_disk_"+m+"_total", counter, [...]int{400, 50, 400, 900, 700, 900, 0, 300}[i]/(1+d), [...]int{200, 20, 1 << 20, 900, 300, 1 << 22, 1, 20}[i], "device", device)
		}
		for _, m := range [...]string{"read_time", "write_time", "io_time", "io_time_weighted"} {
			t.add("node_disk_"+m+"_seconds_total", seconds, 800/(1+d), 60, "device", device)
		}
		t.add("node_disk_io_now", walk, 200, 2, "device", device)
	}
	for d, device := range [...]string{"lo", "eth0", "eth1", "docker0", "cali1a2b3c", "cali4d5e6f", "vxlan.calico", "bond0"} {
		for i, m := range [...]string{"receive_bytes", "transmit_bytes", "receive_packets", "transmit_packets", "receive_errs", "transmit_errs", "receive_drop", "receive_multicast", "receive_compressed", "transmit_compressed", "receive_fifo", "transmit_colls"} {
			t.add("node_network_"+m+"_total", counter, max(0, [...]int{1000, 1000, 1000, 1000, 1, 0, 20, 100, 0, 0, 0, 0}[i]-50*d), [...]int{6 << 20, 4 << 20, 9000, 8000, 2, 1, 5, 10, 1, 1, 1, 1}[i], "device", device)
		}
		t.add("node_network_up", constant, 0, 0, "device", device).acc = 1
		t.add("node_network_mtu_bytes", constant, 0, 0, "device", device).acc = 1500
	}
	for f, fs := range [...][3]string{{"/dev/nvme0n1p2", "ext4", "/"}, {"/dev/nvme0n1p1", "vfat", "/boot/efi"}, {"tmpfs", "tmpfs", "/run"}, {"/dev/dm-0", "xfs", "/var/lib/data"}} {
		kv := []string{"device", fs[0], "fstype", fs[1], "mountpoint", fs[2]}
		t.add("node_filesystem_size_bytes", constant, 0, 0, kv...).acc = int64(f+1) << 37
		t.add("node_filesystem_avail_bytes", pages, 600/(1+f), 400, kv...)
		t.add("node_filesystem_free_bytes", pages, 600/(1+f), 400, kv...)
		t.add("node_filesystem_files_free", walk, 300/(1+f), 50, kv...)
		t.add("node_filesystem_readonly", constant, 0, 0, kv...)
	}
	for i := range 40 {
		t.add(fmt.Sprintf("node_memory_%c%d_bytes", 'A'+i%26, i), [...]kind{pages, pages, constant}[i%3], 950-i*10, 3000).acc = int64(i) << 20
		t.add(fmt.Sprintf("node_netstat_Tcp_%d", i), counter, [...]int{1000, 200, 2, 0}[i%4], [...]int{9000, 10, 1, 1}[i%4])
	}
	for u := range 80 {
		unit := fmt.Sprintf("%s-%d.service", [...]string{"kubelet", "containerd", "ssh", "cron", "systemd-journald", "getty@tty", "user@", "chrony"}[u%8], u)
		for i, state := range [...]string{"activating", "active", "deactivating", "failed", "inactive"} {
			if s := t.add("node_systemd_unit_state", constant, 0, 0, "name", unit, "state", state, "type", "simple"); i == 1 {
				s.acc = 1
			}
		}
	}
	for _, m := range [...]string{"node_load1", "node_load5", "node_load15"} {
		t.add(m, load, 900, 15)
	}
	t.add("node_time_seconds", clock, 0, 0)
	t.add("node_boot_time_seconds", constant, 0, 0).acc = 1_790_000_000
	t.add("node_context_switches_total", counter, 1000, 200_000)
}

// service fills the target with what six pods of a service show: some 200 series each.
func (t *target) service() {
	job := [...]string{"api", "checkout", "search", "billing", "frontend"}[t.number%5]
	t.labels = []string{
		"cluster", "eu-west-" + strconv.Itoa(1+t.number%3), "instance", fmt.Sprintf("10.%d.%d.%d:8080", 20+t.number/60_000, t.number/250%250, 1+t.number%250),
		"job", job, "namespace", [...]string{"prod", "staging", "dev"}[t.number/5%3],
	}
	for p := range 6 {
		h := mix(uint64(t.number)<<8 | uint64(p))
		t.pod(fmt.Sprintf("%s-%09x-%05x", job, mix(uint64(t.number))&0xfffffffff, h&0xfffff))
	}
}

func (t *target) pod(pod string) {
	for i, r := range [...][2]string{{"GET", "/api/v1/users"}, {"GET", "/api/v1/users/{id}"}, {"POST", "/api/v1/orders"}, {"GET", "/api/v1/orders/{id}"}, {"PUT", "/api/v1/cart"}, {"GET", "/healthz"}} {
		busy := [...]int{900, 600, 300, 150, 40, 990}[i]
		t.histogram("http_request_duration_seconds", busy, "method", r[0], "path", r[1], "pod", pod)
		for c, code := range [...]string{"200", "404", "500"} {
			t.add("http_requests_total", counter, busy/(1+c*c*6), 1+busy/(10+c*200), "code", code, "method", r[0], "path", r[1], "pod", pod)
		}
	}
	for _, m := range [...]string{"GetUser", "ListOrders", "Reserve", "Charge"} {
		for i, code := range [...]string{"OK", "Unavailable", "DeadlineExceeded"} {
			t.add("grpc_client_handled_total", counter, 800/(1+40*i), 200, "grpc_code", code, "grpc_method", m, "grpc_service", "shop.v1.Backend", "pod", pod)
		}
	}
	for i, op := range [...]string{"select", "insert", "update"} {
		t.histogram("db_query_duration_seconds", 850/(1+2*i), "operation", op, "pod", pod)
	}
	for i, m := range [...]string{"alloc_bytes", "heap_idle_bytes", "heap_inuse_bytes", "heap_sys_bytes", "stack_inuse_bytes", "next_gc_bytes"} {
		t.add("go_memstats_"+m, pages, 600-50*i, 5000, "pod", pod)
	}
	for _, q := range [...]string{"0", "0.25", "0.5", "0.75", "1"} {
		t.add("go_gc_duration_seconds", nanos, 60, 900, "pod", pod, "quantile", q)
	}
	t.add("go_goroutines", walk, 800, 15, "pod", pod)
	t.add("go_info", constant, 0, 0, "pod", pod, "version", "go1.26.8").acc = 1
	t.add("go_memstats_mallocs_total", counter, 1000, 4_000_000, "pod", pod)
	t.add("process_cpu_seconds_total", seconds, 950, 600, "pod", pod)
	t.add("process_open_fds", walk, 300, 4, "pod", pod)
	t.add("process_resident_memory_bytes", pages, 500, 200, "pod", pod)
	t.add("process_start_time_seconds", constant, 0, 0, "pod", pod).acc = 1_791_234_567
	t.add("container_cpu_usage_seconds_total", nanos, 980, 2_000_000, "container", "app", "pod", pod)
	t.add("queue_depth", walk, 300, 20, "pod", pod, "queue", "email")
}

// labelsOf returns the whole label set of a series, name and value in turns, not sorted.
func (t *target) labelsOf(s *series, dst []string) []string {
	return append(append(dst[:0], s.labels...), t.labels...)
}
