package file_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/narthex-io/narthex/plugins/sd-file/file"
	"github.com/narthex-io/narthex/sdk"
)

// TestGolden parses each file in testdata; beside it lies what it must give: groups, or the text of an error.
func TestGolden(t *testing.T) {
	inputs, err := filepath.Glob("testdata/*.*")
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, path := range inputs {
		if strings.HasSuffix(path, ".want") {
			continue
		}
		cases++
		t.Run(filepath.Base(path), func(t *testing.T) {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(path + ".want")
			if err != nil {
				t.Fatal(err)
			}
			groups, err := file.Parse(filepath.Base(path), content)
			if text, failing := strings.CutPrefix(string(want), "error: "); failing {
				if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(text)) {
					t.Fatalf("error %v, want %s", err, text)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var expected []sdk.Group
			if err := json.Unmarshal(want, &expected); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(groups, expected) {
				got, _ := json.Marshal(groups)
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
	if cases == 0 {
		t.Fatal("testdata holds no cases")
	}
}

func TestParseConfig(t *testing.T) {
	good := func(text string, want file.Config) {
		t.Helper()
		got, err := file.ParseConfig(sdk.Config(text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
	good(`{"files": ["/a/b.json"]}`, file.Config{Files: []string{"/a/b.json"}, RefreshInterval: 5 * time.Minute})
	good(`{"files": ["*.yml", "/x/t*.YAML"], "refresh_interval": "1h30m"}`,
		file.Config{Files: []string{"*.yml", "/x/t*.YAML"}, RefreshInterval: 90 * time.Minute})
	good(`{"files": ["a.yaml"], "refresh_interval": "1y2w3d4h5m6s7ms"}`, file.Config{
		Files:           []string{"a.yaml"},
		RefreshInterval: (365+14+3)*24*time.Hour + 4*time.Hour + 5*time.Minute + 6*time.Second + 7*time.Millisecond,
	})

	bad := func(text, want string) {
		t.Helper()
		if _, err := file.ParseConfig(sdk.Config(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
	bad(``, "files: at least one")
	bad(`{}`, "files: at least one")
	bad(`{"files": []}`, "files: at least one")
	bad(`{"files": ["a.json", "b.txt"]}`, `files[1]: "b.txt"`)
	bad(`{"files": ["/*/a.json"]}`, "files[0]")
	bad(`{"files": "a.json"}`, "files: a string")
	bad(`{"files": ["a.json"], "refresh": "1m"}`, "refresh: unknown field")
	bad(`{"files": ["a.json"], "refresh_interval": "5 minutes"}`, "refresh_interval")
	bad(`{"files": ["a.json"], "refresh_interval": ""}`, "refresh_interval")
	bad(`{"files": ["a.json"], "refresh_interval": "0s"}`, "refresh_interval")
	bad(`{"files": ["a.json"], "refresh_interval": "99999999999y"}`, "refresh_interval")
}

func FuzzParse(f *testing.F) {
	f.Add("a.json", []byte(`[{"targets": ["x:1"], "labels": {"a": "b"}}]`))
	f.Add("a.yml", []byte("- targets: [x:1]\n  labels: {a: b}\n"))
	f.Add("a.yml", []byte("- &a {targets: [x]}\n- *a\n"))
	f.Fuzz(func(t *testing.T, name string, content []byte) {
		groups, err := file.Parse(name, content)
		if err != nil {
			return
		}
		for _, g := range groups {
			if g.Labels["__meta_filepath"] != name || !strings.HasPrefix(g.Source, name+":") {
				t.Fatalf("group without its file: %+v", g)
			}
		}
	})
}
