package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"strconv"
)

// ErrTooLarge is the error for a frame whose payload is over the limit.
var ErrTooLarge = errors.New("frame is too large")

// AppendHeader appends the header of f to dst.
func AppendHeader(dst []byte, f Frame) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(f.Type))
	dst = binary.LittleEndian.AppendUint32(dst, f.ID)
	return binary.LittleEndian.AppendUint32(dst, uint32(len(f.Payload)))
}

// AppendFrame appends f, header and payload, to dst.
func AppendFrame(dst []byte, f Frame) []byte {
	return append(AppendHeader(dst, f), f.Payload...)
}

// ParseFrame decodes b, which holds exactly one frame. The payload aliases b.
func ParseFrame(b []byte) (Frame, error) {
	if len(b) < HeaderSize {
		return Frame{}, errors.New("frame of " + strconv.Itoa(len(b)) + " bytes is shorter than its header")
	}
	f, n := parseHeader(b)
	if uint64(n) != uint64(len(b)-HeaderSize) {
		return Frame{}, errors.New("frame announces " + strconv.FormatUint(uint64(n), 10) + " bytes and holds " +
			strconv.Itoa(len(b)-HeaderSize))
	}
	f.Payload = b[HeaderSize:]
	return f, nil
}

func parseHeader(b []byte) (Frame, uint32) {
	return Frame{
		Type: Type(binary.LittleEndian.Uint32(b)),
		ID:   binary.LittleEndian.Uint32(b[4:]),
	}, binary.LittleEndian.Uint32(b[8:])
}

// Reader reads frames from a byte stream. It is not safe for concurrent use.
type Reader struct {
	r   *bufio.Reader
	max uint32
}

// NewReader returns a Reader that refuses payloads of more than maxBytes.
func NewReader(r io.Reader, maxBytes uint32) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 16<<10), max: maxBytes}
}

// Read returns the next frame, whose payload the caller owns. The error is io.EOF at a clean end between frames,
// io.ErrUnexpectedEOF inside one, and [ErrTooLarge] for a payload over the limit, after which the stream is lost.
func (r *Reader) Read() (Frame, error) {
	var header [HeaderSize]byte
	if _, err := io.ReadFull(r.r, header[:]); err != nil {
		return Frame{}, err
	}
	f, n := parseHeader(header[:])
	if n > r.max {
		return Frame{}, errors.Join(ErrTooLarge, errors.New(f.Type.String()+" of "+strconv.FormatUint(uint64(n), 10)+" bytes"))
	}
	payload, err := readN(r.r, n)
	if err != nil {
		return Frame{}, err
	}
	f.Payload = payload
	return f, nil
}

// readN reads n bytes, growing as they arrive: a header alone must not make the reader allocate what it announces.
func readN(r io.Reader, n uint32) ([]byte, error) {
	const step = 1 << 20
	b := make([]byte, min(n, step))
	for read := 0; ; {
		m, err := io.ReadFull(r, b[read:])
		if errors.Is(err, io.EOF) && n > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		read += m
		if uint32(read) == n {
			return b, nil
		}
		b = append(b, make([]byte, min(n-uint32(read), uint32(read)))...)
	}
}

// Writer writes frames to a byte stream. It is not safe for concurrent use.
type Writer struct {
	w   io.Writer
	buf []byte
}

// NewWriter returns a Writer on w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write writes f; small frames go out in one write.
func (w *Writer) Write(f Frame) error {
	const small = 16 << 10
	if uint64(len(f.Payload)) > 1<<32-1 {
		return ErrTooLarge
	}
	if len(f.Payload) <= small {
		w.buf = AppendFrame(w.buf[:0], f)
		_, err := w.w.Write(w.buf)
		return err
	}
	w.buf = AppendHeader(w.buf[:0], f)
	if _, err := w.w.Write(w.buf); err != nil {
		return err
	}
	_, err := w.w.Write(f.Payload)
	return err
}
