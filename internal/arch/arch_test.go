package arch

import (
	"bufio"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/narthex-io/narthex"

// TestImports checks that each package imports only what docs/imports.txt allows, and that the table lists no package
// that does not exist. It walks the files itself, whatever their build tags: the result of a subprocess would be
// invisible to the test cache. Test files may import more.
func TestImports(t *testing.T) {
	root := filepath.Join("..", "..")
	allowed := readTable(t, filepath.Join(root, "docs", "imports.txt"))
	imports := readImports(t, root)
	for _, pkg := range slices.Sorted(maps.Keys(imports)) {
		patterns, listed := lookUp(allowed, pkg)
		if !listed {
			t.Errorf("package %s is not in docs/imports.txt", pkg)
			continue
		}
		for _, imported := range imports[pkg] {
			if !matchAny(patterns, imported) {
				t.Errorf("%s imports %s, which docs/imports.txt does not allow", pkg, imported)
			}
		}
	}
	for pkg := range allowed {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(imports)), func(p string) bool { return match(pkg, p) }) {
			t.Errorf("docs/imports.txt lists %s, which does not exist", pkg)
		}
	}
}

// TestOverview: docs/ARCHITECTURE.md names each package of the table; for plugins and for what is listed as a whole, the folder will do.
func TestOverview(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "docs", "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]bool{}
	for _, word := range strings.FieldsFunc(string(text), func(r rune) bool { return strings.ContainsRune(" \n`*,;:()|", r) }) {
		words[strings.TrimSuffix(word, ".")] = true
	}
	for pkg := range readTable(t, filepath.Join(root, "docs", "imports.txt")) {
		name := strings.TrimSuffix(pkg, "/*")
		if parts := strings.Split(name, "/"); parts[0] == "plugins" {
			name = path.Join(parts[:2]...)
		}
		if !words[name] {
			t.Errorf("docs/ARCHITECTURE.md does not name %s", name)
		}
	}
}

// readTable reads lines of the form "package: allowed, allowed". An entry that ends in /* stands for everything below,
// and a single * for everything.
func readTable(t *testing.T, file string) map[string][]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table := map[string][]string{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		pkg, list, ok := strings.Cut(line, ":")
		if !ok {
			t.Fatalf("%s:%d: no colon", file, n)
		}
		pkg = strings.TrimSpace(pkg)
		if _, twice := table[pkg]; twice {
			t.Fatalf("%s:%d: %s is listed twice", file, n, pkg)
		}
		table[pkg] = strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return table
}

// readImports returns, for each package, its imports from inside the module.
func readImports(t *testing.T, root string) map[string][]string {
	t.Helper()
	imports := map[string][]string{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipFolder(root, file, d)
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(rel)
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		imports[pkg] = slices.Grow(imports[pkg], 1)
		for _, spec := range parsed.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if inside, ok := strings.CutPrefix(name, module+"/"); ok && !slices.Contains(imports[pkg], inside) {
				imports[pkg] = append(imports[pkg], inside)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return imports
}

// skipFolder leaves out hidden folders, test data, build output and nested modules.
func skipFolder(root, folder string, d fs.DirEntry) error {
	if folder == root {
		return nil
	}
	name := d.Name()
	if strings.HasPrefix(name, ".") || name == "testdata" || name == "bin" || name == "node_modules" {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func lookUp(table map[string][]string, pkg string) ([]string, bool) {
	if patterns, ok := table[pkg]; ok {
		return patterns, true
	}
	for p := pkg; p != "."; p = path.Dir(p) {
		if patterns, ok := table[path.Dir(p)+"/*"]; ok {
			return patterns, true
		}
	}
	return nil, false
}

func matchAny(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return match(p, pkg) })
}

func match(pattern, pkg string) bool {
	if pattern == "*" || pattern == pkg {
		return true
	}
	prefix, below := strings.CutSuffix(pattern, "*")
	return below && strings.HasPrefix(pkg, prefix)
}
