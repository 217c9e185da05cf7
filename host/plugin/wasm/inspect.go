package wasm

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// maxTableEntries bounds the tables of a module: the runtime keeps them in the host's memory, and makes them as large
// as a module says before the module has run. Large programs have some ten thousand entries.
const maxTableEntries = 1 << 20

const pageBytes = 64 << 10

var errTruncated = errors.New("module is truncated")

// Sections of a module, and what their first bytes mean.
const (
	magic         = "\x00asm"
	preambleSize  = 8
	sectionImport = 2
	sectionTable  = 4
	sectionMemory = 5
	limitHasMax   = 1
)

// inspect refuses a module which would cost the host too much merely by being instantiated. It is no validation; the
// compiler does that.
func inspect(code []byte, memoryBytes uint64) error {
	if len(code) < preambleSize || string(code[:len(magic)]) != magic {
		return errors.New("this is no wasm module: build it with narthex plugin build, or with GOOS=wasip1 GOARCH=wasm")
	}
	return eachSection(code, func(id byte, body []byte) error {
		switch id {
		case sectionTable:
			return eachLimit(body, true, func(entries uint64) error {
				if entries > maxTableEntries {
					return fmt.Errorf("module wants a table of %d entries; the limit is %d", entries, maxTableEntries)
				}
				return nil
			})
		case sectionMemory:
			return eachLimit(body, false, func(pages uint64) error {
				if pages > memoryBytes/pageBytes {
					return fmt.Errorf("module wants %d bytes of memory to begin with; the limit is %d", pages*pageBytes, memoryBytes)
				}
				return nil
			})
		}
		return nil
	})
}

// eachSection calls visit with each section of a module.
func eachSection(code []byte, visit func(id byte, body []byte) error) error {
	for rest := code[min(preambleSize, len(code)):]; len(rest) > 0; {
		size, n := binary.Uvarint(rest[1:])
		if n <= 0 || size > uint64(len(rest)-1-n) {
			return errTruncated
		}
		if err := visit(rest[0], rest[1+n:][:size]); err != nil {
			return err
		}
		rest = rest[1+n+int(size):]
	}
	return nil
}

// Imports returns the functions that a module imports, as module.name in the module's order. The module is one that has been compiled:
// what else can be imported, no host has.
func Imports(code []byte) (names []string, err error) {
	err = eachSection(code, func(id byte, body []byte) error {
		if id != sectionImport {
			return nil
		}
		number := func() (uint64, bool) {
			v, n := binary.Uvarint(body)
			if n <= 0 {
				return 0, false
			}
			body = body[n:]
			return v, true
		}
		text := func() (string, bool) {
			size, ok := number()
			if !ok || size > uint64(len(body)) {
				return "", false
			}
			s := string(body[:size])
			body = body[size:]
			return s, true
		}
		count, ok := number()
		for ; ok && count > 0; count-- {
			module, ok1 := text()
			name, ok2 := text()
			kind, ok3 := number()
			_, ok4 := number() // the function's type
			if ok = ok1 && ok2 && ok3 && ok4; ok && kind != 0 {
				return fmt.Errorf("the module imports %s.%s, which is no function", module, name)
			}
			names = append(names, module+"."+name)
		}
		if !ok {
			return errTruncated
		}
		return nil
	})
	return names, err
}

// eachLimit calls check with the minimum of each entry of a table or memory section.
func eachLimit(body []byte, typed bool, check func(minimum uint64) error) error {
	next := func() (uint64, error) {
		v, n := binary.Uvarint(body)
		if n <= 0 {
			return 0, errTruncated
		}
		body = body[n:]
		return v, nil
	}
	count, err := next()
	for ; err == nil && count > 0; count-- {
		if typed {
			if _, err = next(); err != nil { // the type of a table's elements
				break
			}
		}
		var flags, minimum uint64
		if flags, err = next(); err != nil {
			break
		}
		if minimum, err = next(); err != nil {
			break
		}
		if err = check(minimum); err == nil && flags&limitHasMax != 0 {
			_, err = next()
		}
	}
	return err
}
