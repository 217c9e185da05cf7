//go:build e2e && linux

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// child is a process that another one started. The time of its start tells it from a later one with the same number.
type child struct {
	pid   int
	name  string // of the executable
	start string
}

// children returns the processes that pid started, those of its children included.
func children(t *testing.T, pid int) []child {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	byParent := map[int][]child{}
	for _, path := range stats {
		number, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := readStat(number); ok {
			byParent[s.parent] = append(byParent[s.parent], child{number, s.name, s.start})
		}
	}
	family := byParent[pid]
	for i := 0; i < len(family); i++ {
		family = append(family, byParent[family[i].pid]...)
	}
	return family
}

// childNamed returns the one child of pid with this name.
func childNamed(t *testing.T, pid int, name string) (child, error) {
	t.Helper()
	var found []child
	for _, c := range children(t, pid) {
		if c.name == name && c.runs() {
			found = append(found, c)
		}
	}
	if len(found) != 1 {
		return child{}, fmt.Errorf("%d processes named %s: %v", len(found), name, found)
	}
	return found[0], nil
}

// runs reports whether the process is there. One that has ended and that nobody has waited for yet is not.
func (c child) runs() bool {
	s, ok := readStat(c.pid)
	return ok && s.start == c.start && s.state != "Z"
}

type stat struct {
	name, state, start string
	parent             int
}

// readStat reads /proc/PID/stat, of which the name stands in parentheses and may hold anything.
func readStat(pid int) (stat, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, false // The process is gone.
	}
	open, end := strings.IndexByte(string(text), '('), strings.LastIndexByte(string(text), ')')
	fields := strings.Fields(string(text[end+1:]))
	if open < 0 || end < open || len(fields) < 20 {
		return stat{}, false
	}
	parent, err := strconv.Atoi(fields[1])
	return stat{name: string(text[open+1 : end]), state: fields[0], start: fields[19], parent: parent}, err == nil
}

// residentKiB is the memory of a process that is in RAM, and what of it is its own alone (not a file's pages).
func residentKiB(t *testing.T, pid int) (all, anonymous int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	read := func(key string) int {
		_, rest, ok := strings.Cut(string(text), "\n"+key+":")
		fields := strings.Fields(rest)
		if !ok || len(fields) == 0 {
			t.Fatal(errors.New("no " + key + " in the status of the process"))
		}
		n, err := strconv.Atoi(fields[0])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return read("VmRSS"), read("RssAnon")
}
