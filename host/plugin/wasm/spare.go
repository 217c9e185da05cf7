package wasm

import (
	"encoding/hex"
	"path/filepath"
	"reflect"

	"github.com/tetratelabs/wazero/api"

	"github.com/narthex-io/narthex/host/plugin/kept"
)

// codeDir is the folder, below the cache's, with compiled code as it is executed.
const codeDir = "code-v1"

// spare gives back what running modules does not need: the functions' WebAssembly, which has been compiled, and the memory that
// holds the compiled code, of which a guest executes a small part. In its place come the pages of a file, which are read when
// they are executed, shared by all processes, and dropped when memory is short.
//
// wazero has no interface for either, so the places are looked for by reflection, and where they are not, or the system does not
// want to, nothing is saved and nothing is lost. It is done once for a module, before its first instance, m, runs.
func (r *Runtime) spare(m api.Module, of *module) {
	of.spared.Do(func() { r.spareOnce(m, of) })
}

func (r *Runtime) spareOnce(m api.Module, of *module) {
	v := reflect.ValueOf(m)
	dropBodies(field(v, "Source", "CodeSection"))
	code := field(v, "Engine", "parent", "executables", "executable")
	if of.engine.dir == "" || code.Kind() != reflect.Slice || code.Len() == 0 || code.Type().Elem().Kind() != reflect.Uint8 {
		return
	}
	path := filepath.Join(of.engine.dir, codeDir, hex.EncodeToString(of.key[:])+"-"+mode(r.fullSpeed))
	kept.Touch(path)
	_ = backWithFile(code.UnsafePointer(), code.Len(), path) // memory keeps what it has
}

// field follows names through pointers and interfaces; the zero Value says that there is no such field.
func field(v reflect.Value, names ...string) reflect.Value {
	for _, name := range names {
		for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			return reflect.Value{}
		}
		v = v.FieldByName(name)
	}
	return v
}

// dropBodies empties the functions of a list of wasm.Code.
func dropBodies(list reflect.Value) {
	if list.Kind() != reflect.Slice {
		return
	}
	for i := range list.Len() {
		body := field(list.Index(i), "Body")
		if body.Kind() != reflect.Slice || !body.CanSet() {
			return
		}
		body.SetZero()
	}
}
