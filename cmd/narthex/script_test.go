package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite golden files")

// TestScripts runs the scripts of testdata. Each line above the files is a command, "< FILE" at its end what it reads. The
// file want, the last one, is what has to come of them: the exit code, "1|" and the lines of standard output, "2|" and those of
// standard error, and "ask" and the requests to $SERVER. That answers with the files below server/, whose first line is the
// status.
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, name := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			path, err := filepath.Abs(name)
			if err != nil {
				t.Fatal(err)
			}
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			last := &archive.Files[len(archive.Files)-1]
			if last.Name != "want" {
				t.Fatalf("the last file is %s, not want", last.Name)
			}
			got := newScript(t, archive.Files[:len(archive.Files)-1]).run(string(archive.Comment))
			if *update {
				last.Data = []byte(got)
				if err := os.WriteFile(path, txtar.Format(archive), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got != string(last.Data) {
				t.Error(firstDifference(got, string(last.Data)))
			}
		})
	}
}

// firstDifference shows where two transcripts begin to differ, with the command there.
func firstDifference(got, want string) string {
	command := ""
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(gotLines), len(wantLines)) {
		if strings.HasPrefix(wantLines[i], "$ ") {
			command = wantLines[i]
		}
		if gotLines[i] != wantLines[i] {
			return fmt.Sprintf("%s\n got %s\nwant %s", command, gotLines[i], wantLines[i])
		}
	}
	return fmt.Sprintf("%s\nthere are %d lines, want %d", command, len(gotLines), len(wantLines))
}

// script is a script under way.
type script struct {
	*testing.T
	server *httptest.Server
	files  map[string][]byte
	asked  []string
}

// newScript puts files into a directory of their own, which becomes the current one.
func newScript(t *testing.T, files []txtar.File) *script {
	t.Helper()
	s := &script{T: t, files: map[string][]byte{}}
	t.Chdir(t.TempDir())
	for _, f := range files {
		s.files[f.Name] = f.Data
		if err := os.MkdirAll(filepath.Dir(f.Name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f.Name, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.server = httptest.NewServer(http.HandlerFunc(s.answer))
	t.Cleanup(s.server.Close)
	return s
}

// answer notes a request and answers it with a file.
func (s *script) answer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.Error(err)
	}
	line := r.Method + " " + r.URL.RequestURI()
	if len(body) > 0 {
		line += " " + string(body)
	}
	if user, password, ok := r.BasicAuth(); ok {
		line += " as " + user + ":" + password
	}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if strings.HasPrefix(name, "X-") {
			line += fmt.Sprintf(" %s: %s", name, r.Header[name])
		}
	}
	s.asked = append(s.asked, line)
	text, ok := s.files["server"+r.URL.Path]
	if !ok {
		http.Error(w, "there is no such page", http.StatusNotFound)
		return
	}
	status, content, _ := bytes.Cut(text, []byte("\n"))
	code := 0
	if _, err := fmt.Sscan(string(status), &code); err != nil {
		s.Errorf("%s: %v", r.URL.Path, err)
	}
	w.WriteHeader(code)
	_, _ = w.Write(content)
}

// run runs commands and returns the transcript.
func (s *script) run(commands string) string {
	var out strings.Builder
	for line := range strings.Lines(commands) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		fmt.Fprintf(&out, "$ %s\n%s", line, s.command(line))
	}
	return strings.ReplaceAll(out.String(), s.server.URL, "$SERVER")
}

// command runs one command and returns what comes of it.
func (s *script) command(line string) string {
	command, input, _ := strings.Cut(strings.ReplaceAll(line, "$SERVER", s.server.URL), " < ")
	words := splitWords(command)
	io := streams{s.open(input), s.open(""), s.open("")}
	s.asked = nil
	root := rootCommand(io)
	if words[0] == promtool {
		root = promtoolCommand(io)
	}
	root.SetArgs(words[1:])
	used, err := root.ExecuteContextC(s.Context())
	code := exitCode(io, root, used == root && words[0] != promtool, err)
	var out strings.Builder
	fmt.Fprintf(&out, "exit %d\n", code)
	for _, request := range s.asked {
		fmt.Fprintf(&out, "ask %s\n", request)
	}
	for i, f := range []*os.File{io.out, io.err} {
		text, err := os.ReadFile(f.Name())
		if err != nil {
			s.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			fmt.Fprintf(&out, "%d|%s\n", i+1, strings.TrimSuffix(line, "\n"))
		}
	}
	return out.String()
}

// open opens a file for reading, or a new one.
func (s *script) open(name string) *os.File {
	var f *os.File
	var err error
	if name != "" {
		f, err = os.Open(name)
	} else {
		f, err = os.Create(filepath.Join(s.TempDir(), "stream"))
	}
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = f.Close() })
	return f
}

// splitWords splits a line at blanks outside of single quotes.
func splitWords(line string) (words []string) {
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			if n := len(words) - 1; n >= 0 && strings.HasSuffix(words[n], "=") {
				words[n] += part
			} else {
				words = append(words, part)
			}
			continue
		}
		words = append(words, strings.Fields(part)...)
	}
	return words
}
