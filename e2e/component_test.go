//go:build e2e && linux

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// missed counts the tests that did not run because a component is missing.
var missed = &absences{tests: map[string][]string{}}

// absences are tests by the name of the component that each lacks.
type absences struct {
	mu    sync.Mutex
	tests map[string][]string
}

// report says what did not run and why; with everything there, it says nothing.
func (a *absences) report(w io.Writer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(a.tests)) {
		fmt.Fprintf(w, "e2e: %d not run for want of %s: %s\n", len(a.tests[name]), name, strings.Join(a.tests[name], ", "))
	}
}

// lack skips the test for want of a component. On CI it fails, unless E2E_SKIP, a list of names, has the component.
func (a *absences) lack(t *testing.T, name, how string) {
	t.Helper()
	if os.Getenv("CI") == "true" && !slices.Contains(strings.Fields(os.Getenv("E2E_SKIP")), name) {
		t.Fatalf("no %s here, and CI skips only what E2E_SKIP names: %s", name, how)
	}
	a.mu.Lock()
	a.tests[name] = append(a.tests[name], t.Name())
	a.mu.Unlock()
	t.Skipf("no %s here: %s", name, how)
}

// component returns the path of a program that Debian packages.
func component(t *testing.T, name, debianPackage string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath(filepath.Join("/usr/sbin", name)) // which is not on everybody's PATH
	}
	if err != nil {
		missed.lack(t, name, "apt-get install "+debianPackage)
	}
	return path
}

// built returns the path of a program that tools/component has built.
func built(t *testing.T, name string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(root, "tools", "component"), "-n", name)
	out, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		missed.lack(t, name, string(bytes.TrimSpace(exit.Stderr)))
	case err != nil:
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(out))
}
