# The one list of what can be done here. `just` alone (or ./justw) shows it.

set shell := ["bash", "-euo", "pipefail", "-c"]

version := `cat VERSION`

# Where git does not answer go, since somebody else owns the checkout, go must not ask: it would refuse to build.
export GOFLAGS := trim(`go env GOFLAGS` + ' ' + `git rev-parse HEAD >/dev/null 2>&1 || echo -buildvcs=false`)
ldflags := "-s -w -X main.version=" + version + " -X main.revision=" + `git -c safe.directory='*' rev-parse --short HEAD 2>/dev/null || echo unknown`

# show this list
default:
    @just --list --unsorted 2>/dev/null || ./justw --list --unsorted

# build the host and all first-party plugins into bin/
build: build-host build-plugins

# build the host alone
build-host:
    CGO_ENABLED=0 go build -trimpath -ldflags '{{ldflags}}' -o bin/narthex ./cmd/narthex

# build first-party plugins into bin/plugins, all unless some are named: to wasm, or to native executables where wasm cannot do it
build-plugins *names:
    mkdir -p bin/plugins
    names="{{names}}"; for name in ${names:-$(ls plugins)}; do \
      if [ -f plugins/$name/go.mod ]; then CGO_ENABLED=0 go -C plugins/$name build -trimpath -ldflags '-s -w' -o ../../bin/plugins/$name .; \
      elif [[ $name == exporter-* ]]; then CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/plugins/$name ./plugins/$name; \
      else GOOS=wasip1 GOARCH=wasm go build -trimpath -ldflags '-s -w' -o bin/plugins/$name.wasm ./plugins/$name; fi; done

# build what the demo needs and start it: this server, this machine and a file-discovered target
run *flags: build-host (build-plugins "sd-file" "exporter-node")
    ./bin/narthex demo {{flags}}

# format
fmt:
    ./tools/golangci-lint fmt ./...

# lint
lint:
    ./tools/golangci-lint run ./...
    for file in plugins/*/go.mod; do MODULE=$(dirname $file) ./tools/golangci-lint run ./...; done

# all tests, with the race detector
test *args:
    go vet ./...
    go test -race -timeout 30m {{args}} ./...
    for file in plugins/*/go.mod; do go -C $(dirname $file) test {{args}} ./...; done

# rewrite golden files
test-update:
    go test ./... -update

# fuzz one package's target for a while: just fuzz ./promql/parser FuzzParseExpr 1m
fuzz pkg target time="1m":
    go test {{pkg}} -run '^$' -fuzz '^{{target}}$' -fuzztime {{time}}

# benchmarks of a package against a base commit, through benchstat
bench pkg base="HEAD~1" count="6":
    ./tools/benchcompare {{pkg}} {{base}} {{count}}

# end to end: the built binaries beside real components (Prometheus, Consul, Kubernetes), which the first run builds for ten minutes
e2e *args: build components
    go -C e2e test -count=1 -timeout 30m -tags e2e -skip '^TestAttacks$' {{args}}
    node=$(./tools/component -n node_exporter) || [ "${CI:-}" != true ]; NODE_EXPORTER="$node" go test -count=1 -run 'NodeExporter|DetailedNetwork' ./plugins/exporter-node/node

# what plugins cost from reload to live, in memory, for a call and for a scrape, as the tables in docs/plugins.md, some minutes in one run
plugin-costs *names="sd-file sd-http sd-dns sd-consul sd-kubernetes exporter-node parser-json parser-influx auth-sigv4 auth-jwt notify-webhook": build components
    COST='{{names}}' go -C e2e test -count=1 -timeout 30m -tags e2e -run '^TestPluginCosts$'

# build the real components for e2e into the user's cache folder; what cannot be built is skipped there by name
components:
    ./tools/component >/dev/null || echo 'some components are missing: e2e says at its end which tests that skips'

# let guests attack a server in each of the places where they can run, some three minutes, and print how it fared as a table
attack: build-host
    export ATTACK_TABLE=$(mktemp); code=0; go test -count=1 -timeout 15m -parallel 6 -tags e2e -run '^TestAttacks$' ./e2e || code=$?; \
      cat $ATTACK_TABLE; rm $ATTACK_TABLE; exit $code

# the same random queries through upstream's engine and ours: just compliance 71 10000
compliance seed="1" queries="3000":
    SEED={{seed}} QUERIES={{queries}} go -C bench/promql test -vet=off -count=1 -v -run 'Differential|Corners' .

# the same exposition bodies through upstream's parsers and ours: just compliance-scrape 7 2000
compliance-scrape seed="1" bodies="400":
    SEED={{seed}} BODIES={{bodies}} go -C bench/scrape test -vet=off -count=1 -v -run 'Differential|Corners' .

# the same remote writes, remote reads and queries over remotes, good and bad, to upstream and ours: just compliance-remote 7 5000
compliance-remote seed="1" requests="1500":
    SEED={{seed}} REQUESTS={{requests}} go -C bench/remote test -vet=off -count=1 -v -run 'Differential|Mutations' .

# scraping beside upstream's, some minutes in one run: CPU, allocations and bytes for each sample
bench-scrape:
    COST=1 go -C bench/scrape test -vet=off -count=1 -v -timeout 20m -run '^TestCost$' .

# the query engine beside upstream's and that of Thanos, some minutes in one run: just bench-promql full for all sizes (an hour)
bench-promql size="default":
    ./tools/benchpromql {{size}}

# CPU time that hostile queries use after their deadline, some minutes: just overrun -series 10000 -deadlines 200ms, or -gaps
overrun *flags:
    go -C bench/promql run ./overrun {{flags}}

# data directories handed from upstream's storage engine to ours and back: nothing may be lost
roundtrip:
    go -C bench/tsdb test -vet=off -count=1 -v -run RoundTrip .

# the storage engine beside upstream's, as a table of ratios: just bench-tsdb [-short]
bench-tsdb *args:
    go -C bench/tsdb test -vet=off -count=1 -v -timeout 2h -run '^TestRatios$' {{args}} . -ratios

# write a new plugin: just plugin acme
plugin name: build-host
    bin/narthex plugin new {{name}}

# everything that CI runs, ending with a clean tree
check: test lint compliance compliance-scrape compliance-remote roundtrip attack e2e
    test -z "$(git -c safe.directory='*' status --porcelain)" || (git status --short; echo 'the tree is not clean'; exit 1)
