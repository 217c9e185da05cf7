package main

// kind says how a setting's text is read.
type kind uint8

const (
	kindString kind = iota
	kindBool
	kindInt
	kindFloat
	kindDuration // Prometheus's notation: 1h30m, 15d
	kindBytes    // powers of two: 512MB
	kindList     // repeatable
)

// setting is one flag, with its key in the settings file and, in capitals and with underscores, after NARTHEX_ in the
// environment.
type setting struct {
	name, value, help string
	kind              kind
	// hidden settings are accepted but not listed by --help.
	hidden bool
	// part, if set, names the part of the server that the setting belongs to and that this version lacks: giving the
	// setting is an error.
	part string
	// ours marks settings that Prometheus does not have.
	ours bool
}

// Parts of the server that this version does not have yet.
const (
	partAgent  = "agent mode"
	partOTLP   = "OTLP ingestion"
	partUI     = "the web interface"
	partSearch = "the search API"
	partDocs   = "documentation of the flags in Markdown"
)

// settings lists every flag of the server with its default, which is upstream's. An empty value means that the
// default is made from other settings.
func settings() []setting {
	return []setting{
		{name: "settings.file", help: "YAML file with settings, keyed by flag name. Environment variables and flags win over it.", ours: true},
		{name: "plugins.directory", kind: kindList, help: "Directory to search for plugins, before 'plugins' beside the binary and ./plugins. Repeatable. plugins.directory of the config file takes the place of them all.", ours: true},
		{name: "plugins.watch", value: "false", kind: kindBool, help: "Put plugins in force when their files, or plugins.lock, change. Otherwise that takes a reload.", ours: true},
		{name: "plugins.require-signature", value: "false", kind: kindBool, help: "Refuse plugins that are not signed by a trusted key, before anything of them runs.", ours: true},
		{name: "plugins.trusted-key", kind: kindList, help: "File with a public key, as narthex plugin keygen and minisign write it, that may have signed plugins. Repeatable. More keys can stand below plugins.trusted_keys in the config file.", ours: true},
		{name: "plugins.cache-directory", help: "Directory for compiled plugins. Default: narthex in the user's cache directory.", ours: true},

		{name: "config.file", value: "prometheus.yml", help: "Configuration file path."},
		{name: "config.auto-reload", value: "false", kind: kindBool, help: "Reload the configuration file when it changes. See also --config.auto-reload-interval."},
		{name: "config.auto-reload-interval", value: "30s", kind: kindDuration, help: "How often to look for changes of the configuration file with --config.auto-reload."},
		{name: "web.listen-address", value: "0.0.0.0:9090", kind: kindList, help: "Address to listen on for API and telemetry. Repeatable."},
		{name: "auto-gomaxprocs", value: "true", kind: kindBool, help: "Use as many processors as the container's CPU quota allows."},
		{name: "auto-gomemlimit", value: "true", kind: kindBool, help: "Set GOMEMLIMIT from the memory limit of the container or the system."},
		{name: "auto-gomemlimit.ratio", value: "0.9", kind: kindFloat, help: "The share of the memory limit to use as GOMEMLIMIT."},
		{name: "auto-gomemlimit.refresh-interval", value: "0s", kind: kindDuration, help: "How often to look at the memory limit again; 0s: once, at the start."},
		{name: "web.config.file", help: "File that enables TLS or authentication for the web endpoints."},
		{name: "web.read-timeout", value: "5m", kind: kindDuration, help: "How long reading a request may take; also closes idle connections."},
		{name: "web.max-connections", value: "512", kind: kindInt, help: "How many connections may be open at once, over all listeners."},
		{name: "web.max-notifications-subscribers", value: "16", kind: kindInt, help: "How many clients may subscribe to live notifications."},
		{name: "web.external-url", help: "The URL under which the server is reached from outside. Its path prefixes all endpoints."},
		{name: "web.route-prefix", help: "Prefix of the web endpoints. Default: the path of --web.external-url."},
		{name: "web.user-assets", part: partUI, help: "Directory of static files served under /user."},
		{name: "web.enable-lifecycle", value: "false", kind: kindBool, help: "Enable reload and shutdown by HTTP request."},
		{name: "web.enable-admin-api", value: "false", kind: kindBool, help: "Enable API endpoints that delete samples and make snapshots."},
		{name: "web.enable-remote-write-receiver", value: "false", kind: kindBool, help: "Enable the endpoint that accepts remote write requests."},
		{name: "web.remote-write-receiver.accepted-protobuf-messages", value: "prometheus.WriteRequest,io.prometheus.write.v2.Request", kind: kindList, help: "Remote write message to accept. Repeatable."},
		{name: "web.enable-otlp-receiver", value: "false", kind: kindBool, part: partOTLP, help: "Enable the endpoint that accepts OTLP write requests."},
		{name: "web.console.templates", value: "consoles", help: "Directory of console templates, served under /consoles."},
		{name: "web.console.libraries", value: "console_libraries", help: "Directory of console libraries."},
		{name: "web.page-title", value: "Prometheus Time Series Collection and Processing Server", help: "Title of the web pages."},
		{name: "web.cors.origin", value: ".*", help: "Regular expression for the origins that CORS allows, anchored at both ends."},
		{name: "storage.tsdb.path", value: "data/", help: "Directory of the metrics storage."},
		{name: "storage.tsdb.retention.time", kind: kindDuration, help: "How long to keep samples: 15d if neither this nor a size is given. The config file's storage.tsdb.retention.time is preferred."},
		{name: "storage.tsdb.retention.size", kind: kindBytes, help: "How many bytes of blocks to keep, such as 512MB. The config file's storage.tsdb.retention.size is preferred."},
		{name: "storage.tsdb.no-lockfile", value: "false", kind: kindBool, help: "Do not lock the data directory."},
		{name: "storage.tsdb.head-chunks-write-queue-size", value: "0", kind: kindInt, help: "How many complete head chunks may be in memory before they are written to files, which is done every minute in any case; 0: 65536."},
		{name: "storage.tsdb.delay-compact-file.path", help: "JSON file of uploaded blocks, such as thanos.shipper.json: blocks of level 1 are merged only when they are in it."},
		{name: "storage.agent.path", value: "data-agent/", part: partAgent, help: "Directory of the agent's storage."},
		{name: "storage.agent.wal-compression", value: "true", kind: kindBool, part: partAgent, help: "Compress the agent's log."},
		{name: "storage.agent.retention.min-time", value: "5m", kind: kindDuration, part: partAgent, help: "Age at which the agent may drop samples."},
		{name: "storage.agent.retention.max-time", value: "4h", kind: kindDuration, part: partAgent, help: "Age at which the agent must drop samples."},
		{name: "storage.agent.checkpoint-from-in-memory-series", value: "false", kind: kindBool, part: partAgent, help: "Build checkpoints from memory."},
		{name: "storage.agent.checkpoint-batch-size", value: "1000", kind: kindInt, part: partAgent, help: "Size of one flushed chunk of log entries."},
		{name: "storage.agent.no-lockfile", value: "false", kind: kindBool, part: partAgent, help: "Do not lock the agent's directory."},
		{name: "storage.remote.flush-deadline", value: "1m", kind: kindDuration, help: "How long samples are still sent by remote write on shutdown or reload."},
		{name: "storage.remote.read-sample-limit", value: "50000000", kind: kindFloat, help: "How many samples a query of a remote read may return, unless chunks are streamed; 0: any number."},
		{name: "storage.remote.read-concurrent-limit", value: "10", kind: kindInt, help: "How many remote reads may run at once; 0: any number."},
		{name: "storage.remote.read-max-bytes-in-frame", value: "1048576", kind: kindInt, help: "About how many bytes of chunks a frame of a streamed remote read has."},
		{name: "web.search.max-limit", value: "10000", kind: kindInt, part: partSearch, help: "Upper bound of the search API's limit parameter."},
		{name: "rules.alert.for-outage-tolerance", value: "1h", kind: kindDuration, help: "Longest outage over which the state of alerts is restored."},
		{name: "rules.alert.for-grace-period", value: "10m", kind: kindDuration, help: "Shortest time between a restored alert and its firing."},
		{name: "rules.alert.resend-delay", value: "1m", kind: kindDuration, help: "Shortest time between two notifications of one alert."},
		{name: "rules.max-concurrent-evals", value: "4", kind: kindInt, help: "How many independent rules may run at once."},
		{name: "alertmanager.notification-queue-capacity", value: "10000", kind: kindInt, help: "Length of the queue of notifications."},
		{name: "alertmanager.notification-batch-size", value: "256", kind: kindInt, help: "How many notifications to send at once."},
		{name: "alertmanager.drain-notification-queue-on-shutdown", value: "true", kind: kindBool, help: "Send pending notifications before stopping."},
		{name: "query.lookback-delta", value: "5m", kind: kindDuration, help: "How far back an instant selector looks for a sample."},
		{name: "query.timeout", value: "2m", kind: kindDuration, help: "How long a query may take."},
		{name: "query.max-concurrency", value: "20", kind: kindInt, help: "How many queries may run at once."},
		{name: "query.max-samples", value: "50000000", kind: kindInt, help: "How many samples a query may hold in memory."},
		{name: "query.max-memory", kind: kindBytes, help: "How many bytes a query may hold in memory, such as 512MB. Default: an eighth of the memory of the container or the machine, 4GB at most.", ours: true},
		{name: "query.max-total-memory", kind: kindBytes, help: "How many bytes all queries may hold in memory at the same time. Default: half of the memory of the container or the machine.", ours: true},
		{name: "enable-feature", kind: kindList, help: "Comma-separated names of features to enable. Unknown names are logged."},
		{name: "agent", value: "false", kind: kindBool, part: partAgent, help: "Run as an agent."},
		{name: "log.level", value: "info", help: "Log messages of this severity and above: debug, info, warn or error."},
		{name: "log.format", value: "logfmt", help: "Format of the log: logfmt or json."},

		{name: "storage.tsdb.min-block-duration", value: "2h", kind: kindDuration, hidden: true, help: "Time span of a block before it is written to disk."},
		{name: "storage.tsdb.max-block-duration", kind: kindDuration, hidden: true, help: "Largest time span of a compacted block. Default: a tenth of the retention, 31d at most."},
		{name: "storage.tsdb.max-block-chunk-segment-size", value: "512MB", kind: kindBytes, hidden: true, help: "Size of a chunk file in a block."},
		{name: "storage.tsdb.wal-segment-size", value: "128MB", kind: kindBytes, hidden: true, help: "Size of a segment of the write-ahead log, 10MB to 256MB."},
		{name: "storage.tsdb.allow-overlapping-compaction", value: "true", kind: kindBool, hidden: true, help: "Merge overlapping blocks; otherwise they are left to another program."},
		{name: "storage.tsdb.wal-compression", value: "true", kind: kindBool, hidden: true, help: "Compress the write-ahead log."},
		{name: "storage.tsdb.wal-compression-type", hidden: true, help: "snappy or zstd, with records that Prometheus 2 reads too. Default: zstd with the smaller records of Prometheus 3.11."},
		{name: "storage.tsdb.samples-per-chunk", value: "120", kind: kindInt, hidden: true, help: "Target number of samples in a chunk."},
		{name: "storage.tsdb.delayed-compaction.max-percent", value: "10", kind: kindInt, hidden: true, help: "Upper bound of the random delay of head compaction, in percent of the range of a block; counts with the feature delayed-compaction."},
		{name: "storage.tsdb.block-reload-interval", value: "1m", kind: kindDuration, hidden: true, help: "How often to look for new and removed blocks."},
		{name: "storage.agent.wal-segment-size", value: "128MB", kind: kindBytes, hidden: true, part: partAgent, help: "Size of a segment of the agent's log."},
		{name: "storage.agent.wal-compression-type", value: "snappy", hidden: true, part: partAgent, help: "snappy or zstd."},
		{name: "storage.agent.wal-truncate-frequency", value: "2h", kind: kindDuration, hidden: true, part: partAgent, help: "How often to truncate the agent's log."},
		{name: "scrape.adjust-timestamps", value: "true", kind: kindBool, hidden: true, help: "Align the timestamps of scrapes to their schedule."},
		{name: "scrape.timestamp-tolerance", value: "2ms", kind: kindDuration, hidden: true, help: "How far a timestamp may be moved to align it."},
		{name: "write-documentation", value: "false", kind: kindBool, hidden: true, part: partDocs, help: "Print documentation."},
		{name: "scrape.discovery-reload-interval", value: "5s", kind: kindDuration, hidden: true, help: "Shortest time between two updates of the targets."},
	}
}
