package plugin

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/narthex-io/narthex/host/plugin/wasm"
)

// compiledDir is the folder, below a cache's, with compiled modules.
const compiledDir = "compiled"

// compiledIn returns where compiled modules are kept: in the cache folder, if there is one, or else, while it is full or may only be
// read, among the temporary files, and in memory that looks like a folder, which even a container without a place to write has.
func compiledIn(dir string) []wasm.Cache {
	var caches []wasm.Cache
	if dir != "" {
		caches = append(caches, wasm.Cache{Dir: filepath.Join(dir, compiledDir)})
	}
	bases := []string{os.TempDir()}
	if runtime.GOOS == "linux" {
		bases = append(bases, "/dev/shm")
	}
	for _, base := range bases {
		own := filepath.Join(base, fmt.Sprintf("narthex-%d", os.Geteuid()))
		caches = append(caches, wasm.Cache{Dir: filepath.Join(own, compiledDir), Within: own})
	}
	return caches
}

// unkept tells the operator, once, that the cache folder takes nothing.
type unkept struct {
	dir  string // of the cache
	log  *slog.Logger
	once sync.Once
}

// warn says that nothing could be put into a folder: aloud of the operator's, for the first time.
func (u *unkept) warn(dir string, err error) {
	if dir != u.dir && filepath.Dir(dir) != u.dir {
		u.log.Debug("compiled plugins cannot be kept here either", "path", dir, "err", err)
		return
	}
	u.once.Do(func() {
		u.log.Warn("the folder for compiled plugins cannot be written to: plugins run all the same, but may be compiled anew whenever the server starts; "+
			"make it writable, make room on its disk, or name another one with --plugins.cache-directory", "path", u.dir, "err", err)
	})
}
