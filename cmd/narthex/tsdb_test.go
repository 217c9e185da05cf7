package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// inData runs commands in a folder that has the text samples.txt and returns what they print on either stream, with the error.
type inData struct {
	t   *testing.T
	dir string
}

func newInData(t *testing.T) inData {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	text := "# TYPE up gauge\nup{job=\"a\"} 1 1\nup{job=\"a\"} 0.5 7200\nup{job=\"b\"} 2 14400.25\n# EOF\n"
	if err := os.WriteFile("samples.txt", []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return inData{t, dir}
}

// run wants a command to print something, and to fail with a text unless that is empty.
func (d inData) run(wantOut, wantErr string, args ...string) {
	d.t.Helper()
	in, err := os.Open("samples.txt")
	if err != nil {
		d.t.Fatal(err)
	}
	defer in.Close()
	file := filepath.Join(d.t.TempDir(), "out")
	f, err := os.Create(file)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	root := rootCommand(streams{in, f, f})
	root.SetArgs(append([]string{"tsdb"}, args...))
	failed := root.ExecuteContext(d.t.Context())
	b, err := os.ReadFile(file)
	if err != nil {
		d.t.Fatal(err)
	}
	text := regexp.MustCompile(`01[0-9A-Z]{24}`).ReplaceAllString(string(b), "ULID")
	if !regexp.MustCompile("(?s)^" + wantOut + "$").MatchString(text) {
		d.t.Errorf("%v prints\n%s\nwant\n%s", args, text, wantOut)
	}
	if (failed != nil) != (wantErr != "") || failed != nil && !strings.Contains(failed.Error(), wantErr) {
		d.t.Errorf("%v: %v, want %q", args, failed, wantErr)
	}
	if found, ok := errors.AsType[*findings](failed); ok && found.code != exitFailure {
		d.t.Errorf("%v: exit code %d", args, found.code)
	}
}

const tableHeader = `BLOCK ULID +MIN TIME +MAX TIME +DURATION +NUM SAMPLES +NUM CHUNKS +NUM SERIES +SIZE\n`

func TestTSDBCommands(t *testing.T) {
	d := newInData(t)
	rows := `ULID +1000 +1001 +1ms +1 +1 +1 +\d+\nULID +7200000 +7200001 +1ms +1 +1 +1 +\d+\nULID +14400250 +14400251 +1ms +1 +1 +1 +\d+\n`
	d.run(tableHeader+rows, "", "create-blocks-from", "openmetrics", "samples.txt")
	d.run(tableHeader+rows, "", "list")
	d.run(tableHeader+`ULID +1970-01-01 00:00:01 \+0000 UTC +.*B\n`, "", "list", "-r", "data")
	dumped := `{__name__="up", job="a"} 1 1000\n{__name__="up", job="a"} 0.5 7200000\n{__name__="up", job="b"} 2 14400250\n`
	d.run(dumped, "", "dump")
	d.run(dumped[:33], "", "dump", "--max-time=1000", "--sandbox-dir-root=/nowhere", "data")
	d.run(`{"__name__":"up","job":"b"}\n`, "", "dump", "--match=up{job=~'b,?'}", "--match=up{job='b'}", "--format", "seriesjson")
	d.run(`up{job="a"} 1 1.000\nup{job="a"} 0.5 7200.000\nup{job="b"} 2 14400.250\n# EOF\n`, "", "dump-openmetrics", "data")
	d.run(`Block ID: ULID\nDuration: 1ms\nTotal Series: 1\n.*\nHighest cardinality metric names:\n1 up\n`, "", "analyze")
	d.run(`.*Matcher: up\n.*Matched series: 1\n.*samples per float chunk \(min/avg/max\): 1/1/1\n.*`, "", "analyze", "data", "--match=up", "--extended", "--limit=1")
	// From the standard input, with labels, into one block.
	d.run("", "", "create-blocks-from", "-q", "openmetrics", "--label=job=x", "--label=env:a=b", "--max-block-duration=6h", "-", "other")
	d.run(`{__name__="up", env="a=b", job="x"} 1 1000\n.*`, "", "dump", "other")
	d.run(tableHeader+`ULID +1000 +14400251 +3h59m59.251s +3 +1 +1 +\d+\n`, "", "list", "other")
	d.run(tableHeader+`ULID +1970.*`, "", "create-blocks-from", "openmetrics", "-r", "samples.txt", "third")
	// What is dumped is read again, whatever the names and values.
	text := `{"utf8.name","a b"="\"\\\n` + "\t\u00a0" + `grün"} 1 1` + "\n# EOF\n"
	if err := os.WriteFile("odd.txt", []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	d.run("", "", "create-blocks-from", "-q", "openmetrics", "odd.txt", "odd")
	d.run(regexp.QuoteMeta(strings.Replace(text, " 1 1\n", " 1 1.000\n", 1)), "", "dump-openmetrics", "odd")
	// What it dumps can be measured with.
	if err := os.WriteFile("series.json", []byte(`{"a":"b"}`), 0o666); err != nil {
		t.Fatal(err)
	}
	d.run(`.*> total samples: 5\n.*completed stage=stopStorage.*`, "", "bench", "write", "--scrapes=5", "series.json")
}

func TestTSDBCommandsRefuse(t *testing.T) {
	d := newInData(t)
	d.run("", "open data/", "list")
	d.run("", "data/ is no data directory", "dump")
	d.run("", ". is no data directory", "dump-openmetrics", ".")
	d.run("", ". has no blocks", "analyze", ".")
	d.run("", "2 arguments, of which 1 are understood", "list", "a", "b")
	d.run("", `--format: "x" is neither prom nor seriesjson`, "dump", "--format=x")
	d.run("", "--match: ", "dump", "--match=up{")
	d.run("", "--match: ", "analyze", "--match=up{")
	d.run("", "name the file to read", "create-blocks-from", "openmetrics")
	d.run("", "no such file", "create-blocks-from", "openmetrics", "none")
	d.run("", ". is a folder", "create-blocks-from", "openmetrics", ".")
	d.run("", `--label: "a" is not of the form name=value`, "create-blocks-from", "openmetrics", "samples.txt", "--label=a")
	d.run("", `--label: "=a" is not`, "create-blocks-from", "openmetrics", "samples.txt", "--label==a")
	d.run("", `--max-block-duration: "x" is no duration`, "create-blocks-from", "openmetrics", "samples.txt", "--max-block-duration=x")
	d.run("", "name the rule files", "create-blocks-from", "rules")
	d.run("", "--start is needed", "create-blocks-from", "rules", "r.yml")
	d.run("", "name the file with series", "bench", "write")
	if err := os.WriteFile("bad.txt", []byte("up 1 1\nup 2\n# EOF\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	d.run("", "bad.txt:2: sample of up has no timestamp", "create-blocks-from", "openmetrics", "bad.txt")
	if _, err := os.Stat("data"); err == nil {
		t.Error("a mistake leaves a folder")
	}
}

// TestTSDBCommandsOnDamage: what is damaged is named, the rest is printed, and the command fails.
func TestTSDBCommandsOnDamage(t *testing.T) {
	d := newInData(t)
	d.run("", "", "create-blocks-from", "-q", "openmetrics", "samples.txt")
	blocks, err := filepath.Glob("data/*/chunks/000001")
	if err != nil || len(blocks) != 3 {
		t.Fatal(blocks, err)
	}
	damaged := "parts of the data directory are damaged"
	first := filepath.Dir(filepath.Dir(blocks[0]))
	for _, file := range blocks {
		if meta, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(file)), "meta.json")); err != nil {
			t.Fatal(err)
		} else if strings.Contains(string(meta), `"minTime": 7200000`) {
			first = filepath.Dir(filepath.Dir(file))
		}
	}
	file := filepath.Join(first, "chunks", "000001")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1] ^= 1
	if err := os.WriteFile(file, b, 0o666); err != nil {
		t.Fatal(err)
	}
	rest := `{__name__="up", job="a"} 1 1000\n{__name__="up", job="b"} 2 14400250\n`
	said := `level=ERROR msg="Part of a block is damaged; going on without it[^\n]* block=ULID err="[^\n]*checksum[^\n]*\n`
	d.run(`(`+said+rest+`|`+rest+said+`|.*`+said+`.*)`, damaged, "dump")
	d.run(`.*damaged: corrupt block: data/ULID/chunks/000001: .*`, damaged, "analyze", "--extended", "data", filepath.Base(first))
	if err := os.Truncate(filepath.Join(first, "index"), 10); err != nil {
		t.Fatal(err)
	}
	d.run(tableHeader+`ULID +1000 [^\n]*\nULID +14400250 [^\n]*\n`, "index", "list")
	d.run(`level=ERROR msg="Block cannot be opened[^\n]* block=ULID [^\n]*\n`+rest, damaged, "dump")
	d.run("", "index", "analyze", "data", filepath.Base(first))
}
