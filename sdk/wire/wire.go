// Package wire is the one encoding that host and guest speak, whatever carries it: inline wasm, a worker or a native
// process. A message is a [Frame]; what a frame means is said by its [Type]; frames that need more than raw bytes
// start with a [Head], a few lines of text.
//
// Start with [Frame], [Reader] and [Writer]. The package knows bytes only: the order of frames is kept by
// host/plugin/session on one side and sdk/guest on the other, and docs/abi.md describes both. It imports the standard
// library only and avoids encoding/json and fmt, so that a guest stays small.
package wire

import "strconv"

// ABI is the version in a HELLO frame. Additions keep it; a breaking change is a new wasm import module.
const ABI = 1

// Module is the name of the wasm module that a guest imports send and recv from.
const Module = "nx1"

// EventsPath is the pollable file in which a wasm guest finds the host's frames.
const EventsPath = "/nx/events"

// HeaderSize is the length in bytes of a frame's header: type, id and payload length.
const HeaderSize = 12

// Frame is one message. Whoever sends a frame gives its payload away and does not touch it afterwards.
type Frame struct {
	Type Type
	// ID ties the frames of one exchange together. Host and guest number what they begin independently: calls are
	// numbered by the host, HTTP and file requests by the guest. Other frames carry 0.
	ID      uint32
	Payload []byte
}

// Type says what a frame means.
type Type uint32

// Frames from host to guest.
const (
	// Start hands over the config. Head line: the kind to serve; fields: the limits; body: the config as JSON.
	Start Type = 1
	// Stop asks the guest to end: it cancels what runs, waits for it, sends Done and exits.
	Stop Type = 2
	// Call begins a call. Head line: the method; field timeout-ms where the call has a deadline; body: the method's.
	Call Type = 3
	// Cancel says that nobody waits for the call's result any more. The guest still answers the call.
	Cancel Type = 4

	// HTTPHead answers HTTPRequest. Head line: the status code; fields: the response's header.
	HTTPHead Type = 16
	// HTTPBody answers HTTPRead with the next bytes of a body.
	HTTPBody Type = 17
	// HTTPEOF answers HTTPRead at a body's end; the id is free again.
	HTTPEOF Type = 18
	// HTTPError answers HTTPRequest or HTTPRead with a message; the id is free again.
	HTTPError Type = 19

	// FileData answers FileRead with the content and FileGlob with names, each followed by a NUL byte.
	FileData Type = 32
	// FileInfo answers FileStat. Head line: the base name; fields: size, mode (octal), mtime (Unix nanoseconds).
	FileInfo Type = 33
	// FileError answers any file request. Head line: not_exist, permission, invalid or other; body: a message.
	FileError Type = 34
	// FileChanged says that something granted may have changed since FileWatch or the last FileChanged.
	FileChanged Type = 35

	// DNSRecords answers DNSLookup: a line for each record, its fields with spaces between them.
	DNSRecords Type = 48
	// DNSError answers DNSLookup with a message.
	DNSError Type = 49

	// DialOpen answers Dial with the address that was connected to, as ip:port.
	DialOpen Type = 64
	// DialData answers DialRead with the next bytes, at least one.
	DialData Type = 65
	// DialWritten answers DialWrite: the system has taken the bytes.
	DialWritten Type = 66
	// DialEOF answers DialRead when the other side has ended what it writes. The connection goes on.
	DialEOF Type = 67
	// DialError answers any of the requests with a message; the connection is over and the id is free again.
	DialError Type = 68
)

// Frames from guest to host.
const (
	// Hello is the guest's first frame: the manifest as JSON with the additional key "abi".
	Hello Type = 257
	// Ready says that the config is accepted.
	Ready Type = 258
	// Error is a message in plain text. With a call's id it answers the call; with id 0 it refuses the config or
	// says why the guest cannot go on.
	Error Type = 259
	// Groups is an update of a running discovery: http_sd JSON, each entry with a "source".
	Groups Type = 260
	// Result answers a call.
	Result Type = 261
	// Done answers Stop: nothing runs any more and the guest is about to exit.
	Done Type = 262

	// HTTPRequest begins an HTTP request. Head line: method, a space, URL; fields: the header; body: the body.
	HTTPRequest Type = 272
	// HTTPRead asks for the next part of the body. One may be open for a request at any time.
	HTTPRead Type = 273
	// HTTPClose gives a request up; the id is free again.
	HTTPClose Type = 274

	// FileRead asks for the content of the file that the payload names.
	FileRead Type = 288
	// FileGlob asks for the names that match the payload.
	FileGlob Type = 289
	// FileStat asks for a description of the file that the payload names.
	FileStat Type = 290
	// FileWatch asks for FileChanged frames until FileClose.
	FileWatch Type = 291
	// FileClose ends a FileWatch; the id is free again.
	FileClose Type = 292

	// DNSLookup asks for the records of a name. Payload: SRV, A, AAAA, MX or NS, a space, the name.
	DNSLookup Type = 304

	// Dial asks for a TCP connection to the host:port in the payload. The id is the connection's until DialError or DialClose.
	Dial Type = 320
	// DialRead asks for the next bytes. One may be open for a connection at any time.
	DialRead Type = 321
	// DialWrite writes the payload; an empty one ends what is written. One may be open for a connection at any time.
	DialWrite Type = 322
	// DialClose ends a connection; the id is free again.
	DialClose Type = 323
)

// Methods of Call.
const (
	// MethodRun runs a discovery: Groups frames with the call's id until Cancel, then Result or Error.
	MethodRun = "run"
	// MethodCollect collects an exporter's metrics: Result holds one exposition.
	MethodCollect = "collect"
	// MethodNotify delivers alerts. Body: a batch as JSON. An empty Result says that it has arrived, one that starts with
	// the head line [Rejected] that it never will, for the reason in the body; an Error asks for another try.
	MethodNotify = "notify"
	// MethodParse reads the body, which is of the type in the field content-type: Result holds one exposition.
	MethodParse = "parse"
	// MethodSign signs a request. Body: a request, see [AppendRequest]; the field body-sha256 has the digest of the request's
	// own body. Result: a head with the line [Signed] and the fields to set.
	MethodSign = "sign"
	// MethodAuthenticate judges a request. Body: a request, see [AppendRequest], which came from the address in the field
	// remote-addr. Result: a head with the line [Allow] and the field user, or with [Unauthenticated], where the field
	// challenge is optional, or with [Forbidden]; the last two have a message as the body.
	MethodAuthenticate = "authenticate"
)

// Head lines of a Result.
const (
	// Rejected is of MethodNotify.
	Rejected = "rejected"
	// Signed is of MethodSign.
	Signed = "signed"
	// Allow, Unauthenticated and Forbidden are of MethodAuthenticate.
	Allow           = "allow"
	Unauthenticated = "unauthenticated"
	Forbidden       = "forbidden"
)

// Fields of the heads of Start, Call and Result.
const (
	// FieldMessageBytes is the largest payload that the host takes.
	FieldMessageBytes = "message-bytes"
	// FieldOutputBytes is the largest payload of a Result.
	FieldOutputBytes = "output-bytes"
	// FieldHTTPConcurrent is how many HTTP requests a guest may have open, and how many DNS look-ups.
	FieldHTTPConcurrent = "http-concurrent"
	// FieldFilesConcurrent is how many file requests a guest may have open.
	FieldFilesConcurrent = "files-concurrent"
	// FieldDialConcurrent is how many connections a guest may have open.
	FieldDialConcurrent = "dial-concurrent"
	// FieldAccess is the same for guests of one process that can reach the same with the same credentials; see sdk.Host.
	FieldAccess = "access"
	// FieldEnv is a granted environment variable, as NAME=VALUE; there is one for each.
	FieldEnv = "env"
	// FieldTimeoutMillis is the time that is left for a call, in milliseconds.
	FieldTimeoutMillis = "timeout-ms"
	// FieldContentType is the Content-Type of what MethodParse reads; it is left out where there is none.
	FieldContentType = "content-type"
	// FieldBodySHA256 is the digest of the body of a request that MethodSign signs, in hexadecimal.
	FieldBodySHA256 = "body-sha256"
	// FieldRemoteAddr is where a request that MethodAuthenticate judges came from, as host:port.
	FieldRemoteAddr = "remote-addr"
	// FieldUser is who sent a request that MethodAuthenticate allowed.
	FieldUser = "user"
	// FieldChallenge is what a refused request is answered with in the field WWW-Authenticate.
	FieldChallenge = "challenge"
)

// Beginnings of the message of an Error with which a guest says that it has kept to a limit of Start, and failed for that.
const (
	OutputLimit  = "output_limit: "
	MessageLimit = "message_limit: "
)

// Codes of FileError.
const (
	FileNotExist   = "not_exist"
	FilePermission = "permission"
	FileInvalid    = "invalid"
	FileOther      = "other"
)

// FromGuest reports whether guests send frames of type t.
func (t Type) FromGuest() bool {
	switch t {
	case Hello, Ready, Error, Groups, Result, Done,
		HTTPRequest, HTTPRead, HTTPClose,
		FileRead, FileGlob, FileStat, FileWatch, FileClose, DNSLookup, Dial, DialRead, DialWrite, DialClose:
		return true
	}
	return false
}

// String returns t's name as docs/abi.md writes it, or its number when it is unknown.
func (t Type) String() string {
	switch t {
	case Start:
		return "START"
	case Stop:
		return "STOP"
	case Call:
		return "CALL"
	case Cancel:
		return "CANCEL"
	case HTTPHead:
		return "HTTP_HEAD"
	case HTTPBody:
		return "HTTP_BODY"
	case HTTPEOF:
		return "HTTP_EOF"
	case HTTPError:
		return "HTTP_ERROR"
	case FileData:
		return "FILE_DATA"
	case FileInfo:
		return "FILE_INFO"
	case FileError:
		return "FILE_ERROR"
	case FileChanged:
		return "FILE_CHANGED"
	case Hello:
		return "HELLO"
	case Ready:
		return "READY"
	case Error:
		return "ERROR"
	case Groups:
		return "GROUPS"
	case Result:
		return "RESULT"
	case Done:
		return "DONE"
	case HTTPRequest:
		return "HTTP_REQUEST"
	case HTTPRead:
		return "HTTP_READ"
	case HTTPClose:
		return "HTTP_CLOSE"
	case FileRead:
		return "FILE_READ"
	case FileGlob:
		return "FILE_GLOB"
	case FileStat:
		return "FILE_STAT"
	case FileWatch:
		return "FILE_WATCH"
	case FileClose:
		return "FILE_CLOSE"
	case DNSRecords:
		return "DNS_RECORDS"
	case DNSError:
		return "DNS_ERROR"
	case DNSLookup:
		return "DNS_LOOKUP"
	case DialOpen:
		return "DIAL_OPEN"
	case DialData:
		return "DIAL_DATA"
	case DialWritten:
		return "DIAL_WRITTEN"
	case DialEOF:
		return "DIAL_EOF"
	case DialError:
		return "DIAL_ERROR"
	case Dial:
		return "DIAL"
	case DialRead:
		return "DIAL_READ"
	case DialWrite:
		return "DIAL_WRITE"
	case DialClose:
		return "DIAL_CLOSE"
	}
	return "frame type " + strconv.FormatUint(uint64(t), 10)
}
