package guest

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/narthex-io/narthex/sdk"
)

func TestManifest(t *testing.T) {
	for _, want := range []sdk.Manifest{
		{Name: "x", Kinds: []sdk.Kind{sdk.KindExporter}},
		{
			Name: "sd-x", Version: "1", Kinds: []sdk.Kind{sdk.KindDiscovery, sdk.KindExporter}, Keys: []string{"a", "b"},
			ContentType: "text/plain", ContentTypes: []string{"a/b", "c/d"}, Asks: sdk.Asks{
				HTTP: []string{"server"}, Files: []string{"files[*]"}, DNS: []string{"names[*]"}, Env: []string{"TOKEN"}, Defaults: map[string]string{"server": "localhost:1"},
				Headers: map[string]string{"token": "X-Token"}, BasicAuth: sdk.BasicAuth{Username: "user", Password: "pass"},
			},
		},
	} {
		var got struct {
			ABI int `json:"abi"`
			sdk.Manifest
		}
		b := encodeManifest(want)
		if err := json.Unmarshal(b, &got); err != nil || got.ABI != 1 || !same(got.Manifest, want) {
			t.Errorf("%s becomes %+v, %v", b, got, err)
		}
	}
}

// same compares as JSON, in which empty and nil lists that are left out are equal.
func same(a, b sdk.Manifest) bool {
	normal := func(m sdk.Manifest) sdk.Manifest {
		if len(m.Asks.HTTP) == 0 {
			m.Asks.HTTP = nil
		}
		if len(m.Asks.Files) == 0 {
			m.Asks.Files = nil
		}
		return m
	}
	return reflect.DeepEqual(normal(a), normal(b))
}

func TestGroups(t *testing.T) {
	want := []sdk.Group{
		{Source: "a", Targets: []string{"x:1", "y:2"}, Labels: map[string]string{"b": "2", "a": "1"}},
		{Source: "empty", Targets: []string{}},
	}
	b := encodeGroups(want)
	if text := `[{"source":"a","targets":["x:1","y:2"],"labels":{"a":"1","b":"2"}},{"source":"empty","targets":[]}]`; string(b) != text {
		t.Errorf("got %s, want %s", b, text)
	}
	if b := encodeGroups(nil); string(b) != "[]" {
		t.Errorf("no groups are %s", b)
	}
}

func FuzzString(f *testing.F) {
	f.Add("a\"\\\n\x00\x7f é \xff \u2028")
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		b := appendString(nil, s)
		if err := json.Unmarshal(b, &got); err != nil || got != string([]rune(s)) {
			t.Errorf("%q is written as %s and read as %q, %v", s, b, got, err)
		}
	})
}

func BenchmarkGroups(b *testing.B) {
	groups := make([]sdk.Group, 1000)
	for i := range groups {
		groups[i] = sdk.Group{
			Source: "kubernetes/pod/default/some-name", Targets: []string{"10.0.0.1:9100"},
			Labels: map[string]string{"__meta_namespace": "default", "__meta_pod_name": "some-name", "__meta_ready": "true"},
		}
	}
	b.Run("encoder=hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			encodeGroups(groups)
		}
	})
	b.Run("encoder=json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(groups); err != nil {
				b.Fatal(err)
			}
		}
	})
}
