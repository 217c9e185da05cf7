package guest

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/narthex-io/narthex/sdk/wire"
)

// files reads granted files through the host.
type files struct{ g *guest }

// ask sends a file request and returns its answer.
func (f files) ask(t wire.Type, op, name string) (wire.Frame, error) {
	ctx := context.Background() // the host answers at once, or the session ends and await with it
	if err := acquire(ctx, f.g.limits.files); err != nil {
		return wire.Frame{}, err
	}
	defer func() { <-f.g.limits.files }()
	id, answers, err := f.g.open()
	if err != nil {
		return wire.Frame{}, err
	}
	defer f.g.drop(id)
	if err := f.g.conn.Send(wire.Frame{Type: t, ID: id, Payload: []byte(name)}); err != nil {
		return wire.Frame{}, err
	}
	answer, err := await(ctx, answers)
	if err != nil {
		return wire.Frame{}, err
	}
	if answer.Type == wire.FileError {
		return wire.Frame{}, &fs.PathError{Op: op, Path: name, Err: decodeFileError(answer.Payload)}
	}
	return answer, nil
}

// fileError is a host's message that matches one of the errors in io/fs.
type fileError struct {
	message string
	kind    error
}

// Error implements error.
func (e fileError) Error() string { return e.message }

// Unwrap lets errors.Is find the kind.
func (e fileError) Unwrap() error { return e.kind }

func decodeFileError(payload []byte) error {
	head, message, err := wire.ParseHead(payload)
	if err != nil {
		return err
	}
	e := fileError{message: string(message)}
	switch head.Line {
	case wire.FileNotExist:
		e.kind = fs.ErrNotExist
	case wire.FilePermission:
		e.kind = fs.ErrPermission
	case wire.FileInvalid:
		e.kind = fs.ErrInvalid
	}
	return e
}

// ReadFile implements sdk.Files.
func (f files) ReadFile(name string) ([]byte, error) {
	answer, err := f.ask(wire.FileRead, "read", name)
	return answer.Payload, err
}

// Glob implements sdk.Files.
func (f files) Glob(pattern string) ([]string, error) {
	answer, err := f.ask(wire.FileGlob, "glob", pattern)
	if err != nil || len(answer.Payload) == 0 {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(answer.Payload), "\x00"), "\x00"), nil
}

// Stat implements sdk.Files.
func (f files) Stat(name string) (fs.FileInfo, error) {
	answer, err := f.ask(wire.FileStat, "stat", name)
	if err != nil {
		return nil, err
	}
	head, _, err := wire.ParseHead(answer.Payload)
	if err != nil {
		return nil, err
	}
	size, err1 := strconv.ParseInt(head.Get("size"), 10, 64)
	mode, err2 := strconv.ParseUint(head.Get("mode"), 8, 32)
	mtime, err3 := strconv.ParseInt(head.Get("mtime"), 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	return info{name: head.Line, size: size, mode: fs.FileMode(mode), modTime: time.Unix(0, mtime)}, nil
}

type info struct {
	name    string
	size    int64
	mode    fs.FileMode
	modTime time.Time
}

// Name implements fs.FileInfo.
func (i info) Name() string { return i.name }

// Size implements fs.FileInfo.
func (i info) Size() int64 { return i.size }

// Mode implements fs.FileInfo.
func (i info) Mode() fs.FileMode { return i.mode }

// ModTime implements fs.FileInfo.
func (i info) ModTime() time.Time { return i.modTime }

// IsDir implements fs.FileInfo.
func (info) IsDir() bool { return false }

// Sys implements fs.FileInfo.
func (info) Sys() any { return nil }

// Changes implements sdk.Files. When the host cannot watch, that is logged and no value comes.
func (f files) Changes(ctx context.Context) <-chan struct{} {
	changes := make(chan struct{}, 1)
	id, answers, err := f.g.open()
	if err != nil {
		return changes
	}
	if err := f.g.conn.Send(wire.Frame{Type: wire.FileWatch, ID: id}); err != nil {
		f.g.drop(id)
		return changes
	}
	f.g.goWork(func() {
		for {
			answer, err := await(ctx, answers)
			if err != nil || answer.Type != wire.FileChanged {
				f.g.drop(id)
				if ctx.Err() != nil {
					_ = f.g.conn.Send(wire.Frame{Type: wire.FileClose, ID: id})
				} else if err == nil {
					newLogger(f.g.lines).Warn("cannot watch files", "err", decodeFileError(answer.Payload))
				}
				return
			}
			select {
			case changes <- struct{}{}:
			default:
			}
		}
	})
	return changes
}
