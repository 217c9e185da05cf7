package file_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/narthex-io/narthex/plugins/sd-file/file"
	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/sdktest"
)

func TestConformance(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.json")
	if err := os.WriteFile(path, []byte(`[{"targets": ["a:1"]}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	good, err := json.Marshal(map[string][]string{"files": {path}})
	if err != nil {
		t.Fatal(err)
	}
	sdktest.Run(t, sdktest.Case{
		Open: sdktest.InProcess(file.Plugin(), sdktest.NewHost(t).SDK()),
		Kind: sdk.KindDiscovery,
		Good: good,
		Bad:  []sdk.Config{sdk.Config(`{}`), sdk.Config(`{"file": ["a.json"]}`), sdk.Config(`{"files": [1]}`)},
	})
}
