package inspect

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/tsdb/block"
)

func TestBlocks(t *testing.T) {
	dir := twoBlocks(t)
	var out strings.Builder
	for _, human := range []bool{false, true} {
		blocks, damaged, err := Blocks(dir)
		if err != nil || len(damaged) > 0 {
			t.Fatal(damaged, err)
		}
		if err := WriteTable(&out, blocks, human); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "list.txt", out.String())
}

func TestBlocksDamaged(t *testing.T) {
	dir := twoBlocks(t)
	bad := filepath.Join(dir, "01HF0000000000000000000001")
	if err := os.Truncate(filepath.Join(bad, "index"), 100); err != nil {
		t.Fatal(err)
	}
	blocks, damaged, err := Blocks(dir)
	if err != nil || len(blocks) != 1 || len(damaged) != 1 || !strings.Contains(damaged[0].Error(), filepath.Join(bad, "index")) {
		t.Error(blocks, damaged, err)
	}
	// What was merged into another block is not missing.
	meta, err := block.ReadMeta(filepath.Join(dir, "01HF0000000000000000000002"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(must(os.ReadFile(filepath.Join(dir, meta.ULID.String(), "meta.json")))),
		`"level": 1,`, `"level": 2, "parents": [{"ulid": "01HF0000000000000000000001"}],`, 1)
	if err := os.WriteFile(filepath.Join(dir, meta.ULID.String(), "meta.json"), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	if blocks, damaged, err := Blocks(dir); err != nil || len(blocks) != 1 || len(damaged) != 0 {
		t.Error(blocks, damaged, err)
	}
	if _, _, err := Blocks(filepath.Join(dir, "none")); err == nil {
		t.Error("a folder that is not there has blocks")
	}
}
