package middleware

import (
	"context"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// serveFile answers with a file that existed a moment ago, or with a precompressed variant of
// it. varies is a request header that the choice of the file depended on, or "".
func (s *staticFiles) serveFile(w http.ResponseWriter, r *http.Request, name string, original fs.FileInfo, varies string) {
	have := s.variants(w.Header(), name, original)
	v := representation{name: name, coding: identityCoding, vary: varies}
	if have.isEmpty() {
		s.serveOriginal(w, r, &v)
		return
	}
	v.vary = strings.TrimPrefix(varies+", Accept-Encoding", ", ")
	for {
		var ok bool
		v.coding, ok = chooseCoding(r.Header.Values("Accept-Encoding"), have)
		if !ok {
			setRoute(r, staticRoute)
			addVary(w.Header(), v.vary)
			WriteProblem(w, r, &Problem{Status: http.StatusNotAcceptable, Detail: "Accept-Encoding accepts no coding of this file."})
			return
		}
		if v.coding == identityCoding {
			s.serveOriginal(w, r, &v)
			return
		}
		if s.serveRepresentation(w, r, &v) == nil {
			return
		}
		have[v.coding] = false // it has vanished, or can't be read
	}
}

// serveOriginal answers with the file itself.
func (s *staticFiles) serveOriginal(w http.ResponseWriter, r *http.Request, v *representation) {
	if err := s.serveRepresentation(w, r, v); err != nil {
		s.answerOpenError(w, r, err)
	}
}

// representation is a file in one content coding.
type representation struct {
	name   string // of the file without a coding
	coding int
	vary   string // request headers that decided, or ""

	etag     string
	modified time.Time // in whole seconds, zero if it says nothing
	size     int64
}

// serveRepresentation opens and sends a representation. It has written nothing if it returns
// an error.
func (s *staticFiles) serveRepresentation(w http.ResponseWriter, r *http.Request, v *representation) error {
	name, coding := v.name, ""
	if v.coding != identityCoding {
		name, coding = v.name+codings[v.coding].ext, codings[v.coding].name
	}
	f, err := s.FS.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fs.ErrNotExist
	}
	etag, timed, err := s.etag(r.Context(), name, f, info)
	if err != nil {
		return err
	}
	v.etag, v.size = etag, info.Size()
	if timed {
		v.modified = info.ModTime().Truncate(time.Second)
	}
	if coding != "" {
		v.etag = encodedETag(etag, coding)
	}
	setRoute(r, staticRoute)
	s.send(w, r, v, coding, f)
	return nil
}

// send sets the headers, and writes what the request's conditions and ranges ask for.
func (s *staticFiles) send(w http.ResponseWriter, r *http.Request, v *representation, coding string, f fs.File) {
	h := w.Header()
	encodedAbove := h.Get("Content-Encoding") != ""
	if coding != "" {
		h.Set("Content-Encoding", coding)
	}
	ours := h.Get("Content-Encoding")
	h.Set("Content-Type", s.contentType(v.name))
	h.Set("X-Content-Type-Options", "nosniff")
	if v.etag != "" {
		h.Set("Etag", v.etag)
	}
	if !v.modified.IsZero() {
		h.Set("Last-Modified", v.modified.UTC().Format(http.TimeFormat))
	}
	addVary(h, v.vary)
	if s.Fallback != "" {
		setCacheRule(h, v.name)
	}
	if s.Header != nil {
		s.Header(h, v.name)
		v.modified, _ = dateField(h, "Last-Modified") // it may have deleted or changed these
		v.etag = h.Get("Etag")
	}
	hasRanges := !encodedAbove && h.Get("Content-Encoding") == ours

	switch status := preconditions(r.Header, v.etag, v.modified); status {
	case http.StatusNotModified:
		for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Length"} {
			h.Del(name)
		}
		if v.etag != "" { // RFC 9110, section 15.4.5
			h.Del("Last-Modified")
		}
		w.WriteHeader(status)
		return
	case http.StatusPreconditionFailed:
		deleteCaching(h)
		h.Del("Content-Encoding") // of the empty body
		w.WriteHeader(status)
		return
	}

	var ranges []byteRange
	_, seeks := f.(io.Seeker)
	if hasRanges {
		var err error
		if ranges, err = parseByteRanges(rangeOf(r, v.etag, v.modified), v.size, !seeks); err != nil {
			answerRangeError(w, err, v.size)
			return
		}
		if len(ranges) > 1 && coding != "" {
			ranges = nil // Content-Encoding would also describe the multipart body
		}
		h.Set("Accept-Ranges", "bytes")
	}
	part := partReader{ctx: r.Context(), f: f}
	switch len(ranges) {
	case 0:
		if !encodedAbove {
			h.Set("Content-Length", strconv.FormatInt(v.size, 10))
		}
		w.WriteHeader(http.StatusOK)
		if r.Method != http.MethodHead {
			part.copy(w, byteRange{0, v.size})
		}
	case 1:
		h.Set("Content-Range", ranges[0].contentRange(v.size))
		h.Set("Content-Length", strconv.FormatInt(ranges[0].length, 10))
		w.WriteHeader(http.StatusPartialContent)
		part.copy(w, ranges[0])
	default:
		part.copyMultipart(w, ranges, v.size)
	}
}

// answerRangeError answers 416, as net/http does.
func answerRangeError(w http.ResponseWriter, err error, size int64) {
	h := w.Header()
	deleteCaching(h)
	for _, name := range []string{"Content-Encoding", "Etag", "Last-Modified"} {
		h.Del(name)
	}
	if err == errUnsatisfiableRange {
		h.Set("Content-Range", "bytes */"+strconv.FormatInt(size, 10))
	}
	http.Error(w, err.Error(), http.StatusRequestedRangeNotSatisfiable)
}

// deleteCaching deletes the headers that let caches store the file's answer, which an error
// must not have.
func deleteCaching(h http.Header) {
	for _, name := range []string{"Cache-Control", "Cdn-Cache-Control", "Surrogate-Control", "Expires"} {
		h.Del(name)
	}
}

// addVary adds names to Vary, which components above may have set.
func addVary(h http.Header, names string) {
	if names == "" {
		return
	}
	h.Add("Vary", names)
}

// partReader copies parts of a file. Those of a file that can't seek have to be in order.
type partReader struct {
	ctx context.Context
	f   fs.File
	at  int64 // position of f
}

// copy copies a part. If it fails, less than the announced length has been written, and
// net/http closes the connection.
func (p *partReader) copy(w io.Writer, part byteRange) {
	seeker, seeks := p.f.(io.Seeker)
	if seeks && p.at != part.start {
		if _, err := seeker.Seek(part.start, io.SeekStart); err != nil {
			return
		}
		p.at = part.start
	}
	const step = 1 << 20
	for p.at < part.start {
		n, err := io.CopyN(io.Discard, p.f, min(step, part.start-p.at))
		p.at += n
		if err != nil || p.ctx.Err() != nil { // the client has left
			return
		}
	}
	n, _ := io.CopyN(w, p.f, part.length) // as an *os.File, which net/http passes to the kernel
	p.at += n
}

// copyMultipart answers with several parts (RFC 9110, section 14.6).
func (p *partReader) copyMultipart(w http.ResponseWriter, ranges []byteRange, size int64) {
	h := w.Header()
	contentType := h.Get("Content-Type")
	var length byteCounter
	form := multipart.NewWriter(&length)
	for _, ra := range ranges {
		_, _ = form.CreatePart(partHeader(ra, size, contentType)) // a byteCounter does not fail
		length += byteCounter(ra.length)
	}
	_ = form.Close()

	h.Set("Content-Type", "multipart/byteranges; boundary="+form.Boundary())
	h.Set("Content-Length", strconv.FormatInt(int64(length), 10))
	w.WriteHeader(http.StatusPartialContent)
	body := multipart.NewWriter(w)
	_ = body.SetBoundary(form.Boundary()) // it is valid, being multipart's own
	for _, ra := range ranges {
		part, err := body.CreatePart(partHeader(ra, size, contentType))
		if err != nil {
			return
		}
		p.copy(part, ra)
	}
	_ = body.Close() // the client may be gone
}

func partHeader(ra byteRange, size int64, contentType string) textproto.MIMEHeader {
	return textproto.MIMEHeader{"Content-Range": {ra.contentRange(size)}, "Content-Type": {contentType}}
}

// byteCounter counts the bytes that are written to it.
type byteCounter int64

func (c *byteCounter) Write(p []byte) (int, error) {
	*c += byteCounter(len(p))
	return len(p), nil
}
