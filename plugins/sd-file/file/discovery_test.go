package file_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/narthex-io/narthex/plugins/sd-file/file"
	"github.com/narthex-io/narthex/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// files is a granted folder in memory.
type files struct {
	mu      sync.Mutex
	content map[string]string
	broken  error // of Glob
	changes chan struct{}
}

func (f *files) ReadFile(name string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, ok := f.content[name]; ok {
		return []byte(c), nil
	}
	return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
}

func (f *files) Glob(pattern string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil {
		return nil, f.broken
	}
	var names []string
	for name := range f.content {
		if ok, err := filepath.Match(pattern, name); err != nil {
			return nil, err
		} else if ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

func (f *files) Stat(string) (fs.FileInfo, error) { return nil, errors.ErrUnsupported }

func (f *files) Changes(context.Context) <-chan struct{} { return f.changes }

// edit changes the folder; an empty text deletes.
func (f *files) edit(name, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if text == "" {
		delete(f.content, name)
	} else {
		f.content[name] = text
	}
}

func (f *files) tell() { f.changes <- struct{}{} }

// scene runs a discovery over a folder, in a bubble of synctest.
type scene struct {
	*testing.T
	*files
	log     *bytes.Buffer
	updates chan []sdk.Group
}

func run(t *testing.T, config string, content map[string]string, play func(*scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &scene{T: t, files: &files{content: content, changes: make(chan struct{})}, log: &bytes.Buffer{}, updates: make(chan []sdk.Group)}
		c, err := file.ParseConfig(sdk.Config(config))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		d := file.New(c, sdk.Host{Log: slog.New(slog.NewTextHandler(s.log, nil)), Files: s.files})
		go func() { ended <- d.Run(ctx, s.updates) }()
		play(s)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
	})
}

// want checks the next update, in the form source=target,target.
func (s *scene) want(want ...string) {
	s.Helper()
	got := []string{}
	for _, g := range <-s.updates {
		got = append(got, fmt.Sprintf("%s=%s", g.Source, strings.Join(g.Targets, ",")))
	}
	slices.Sort(got)
	if !reflect.DeepEqual(got, append([]string{}, want...)) {
		s.Errorf("update %q, want %q", got, want)
	}
}

// quiet checks that nothing comes.
func (s *scene) quiet() {
	s.Helper()
	synctest.Wait()
	select {
	case g := <-s.updates:
		s.Errorf("unexpected update %v", g)
	default:
	}
}

func TestFirstUpdateIsComplete(t *testing.T) {
	run(t, `{"files": ["/d/*.json", "/d/a.json", "/e.yml"]}`, map[string]string{
		"/d/a.json": `[{"targets": ["a:1"]}, {"targets": ["b:1", "b:2"]}]`,
		"/d/b.json": `[{"targets": ["c:1"]}]`,
		"/e.yml":    "- targets: [e:1]",
		"/f.yml":    "- targets: [not:1]",
	}, func(s *scene) {
		s.want("/d/a.json:0=a:1", "/d/a.json:1=b:1,b:2", "/d/b.json:0=c:1", "/e.yml:0=e:1")
		s.quiet()
	})
}

func TestFirstUpdateIsSentWithoutFiles(t *testing.T) {
	run(t, `{"files": ["/d/*.json"]}`, map[string]string{}, func(s *scene) { s.want() })
}

func TestOnlyChangesAreSent(t *testing.T) {
	run(t, `{"files": ["/d/*.json"]}`, map[string]string{
		"/d/a.json": `[{"targets": ["a:1"]}, {"targets": ["b:1"]}]`,
		"/d/b.json": `[{"targets": ["c:1"]}]`,
	}, func(s *scene) {
		s.want("/d/a.json:0=a:1", "/d/a.json:1=b:1", "/d/b.json:0=c:1")
		s.tell()
		s.quiet()
		s.edit("/d/a.json", `[{"targets": ["a:2"]}]`) // an entry less
		s.tell()
		s.want("/d/a.json:0=a:2", "/d/a.json:1=")
		s.edit("/d/c.json", `[{"targets": ["n:1"]}]`)
		s.tell()
		s.want("/d/c.json:0=n:1")
		s.edit("/d/a.json", "")
		s.edit("/d/b.json", `[]`)
		s.tell()
		s.want("/d/a.json:0=", "/d/b.json:0=")
		s.edit("/d/b.json", `[{"targets": ["c:2"]}]`)
		s.tell()
		s.want("/d/b.json:0=c:2")
	})
}

func TestBrokenFileKeepsItsTargets(t *testing.T) {
	run(t, `{"files": ["/a.json"]}`, map[string]string{"/a.json": `[{"targets": ["a:1"]}]`}, func(s *scene) {
		s.want("/a.json:0=a:1")
		s.edit("/a.json", `[{"targets": [`)
		s.tell()
		s.quiet()
		if !strings.Contains(s.log.String(), "path=/a.json") {
			s.Errorf("the log does not name the file: %s", s.log)
		}
		s.edit("/a.json", `[{"targets": ["a:2"]}]`)
		s.tell()
		s.want("/a.json:0=a:2")
	})
}

func TestFailingGlobKeepsKnownFiles(t *testing.T) {
	run(t, `{"files": ["/*.json"]}`, map[string]string{"/a.json": `[{"targets": ["a:1"]}]`}, func(s *scene) {
		s.want("/a.json:0=a:1")
		s.mu.Lock()
		s.broken = errors.New("too many open files")
		s.mu.Unlock()
		s.tell()
		s.quiet()
	})
}

func TestRefreshIntervalFindsWhatNoEventTold(t *testing.T) {
	run(t, `{"files": ["/a.json"], "refresh_interval": "30s"}`, map[string]string{}, func(s *scene) {
		start := time.Now()
		s.want()
		s.edit("/a.json", `[{"targets": ["a:1"]}]`)
		s.want("/a.json:0=a:1")
		if d := time.Since(start); d != 30*time.Second {
			s.Errorf("came after %v", d)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&text, "- targets: [\"10.0.%d.%d:9100\"]\n  labels: {env: prod, rack: r%d}\n", i/256, i%256, i%40)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := file.Parse("t.yml", []byte(text.String())); err != nil {
			b.Fatal(err)
		}
	}
}
