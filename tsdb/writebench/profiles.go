package writebench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
)

const profileSuffix = ".prof"

// profiles are those of a run: of CPU, memory, and of what goroutines wait for.
type profiles struct {
	dir string
	cpu *os.File
}

func startProfiles(dir string) (*profiles, error) {
	f, err := os.Create(filepath.Join(dir, "cpu"+profileSuffix))
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("profile: %w", err), f.Close())
	}
	runtime.SetBlockProfileRate(20)
	runtime.SetMutexProfileFraction(20)
	return &profiles{dir, f}, nil
}

// stop writes the profiles.
func (p *profiles) stop() error {
	pprof.StopCPUProfile()
	errs := []error{p.cpu.Close()}
	for file, name := range map[string]string{"mem": "heap", "block": "block", "mutex": "mutex"} {
		errs = append(errs, p.write(file, name))
	}
	runtime.SetBlockProfileRate(0)
	runtime.SetMutexProfileFraction(0)
	return errors.Join(errs...)
}

func (p *profiles) write(file, name string) error {
	f, err := os.Create(filepath.Join(p.dir, file+profileSuffix))
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	return errors.Join(pprof.Lookup(name).WriteTo(f, 0), f.Close())
}
