package h2test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"

	"golang.org/x/net/http2"
)

// Stream is a request and its response, or the tunnel that an extended CONNECT has opened.
// Its methods are safe for concurrent use.
//
// After a failure Read returns the bytes that arrived before it, and then the error; Write
// returns the error. The error is an [http2.StreamError] after a reset by either side, the
// cause of the request's context if that has ended, and otherwise the error that ended the
// connection. Read ignores a reset that comes after END_STREAM.
type Stream struct {
	c       *Conn
	id      uint32
	request *http.Request

	// c.mu guards the fields below.
	changed        *sync.Cond
	response       *http.Response
	buf            bytes.Buffer // received and not read
	unacknowledged int64        // bytes that were read and not yet returned with a WINDOW_UPDATE
	receive        int64        // bytes that the server may send
	send           int64        // bytes that the server accepts; below 0 after a setting that lowers the window
	endReceived    bool         // the server has sent END_STREAM
	endSent        bool         // this side has sent END_STREAM
	err            error        // the stream's failure
	stopWatch      func() bool  // stops watching the request's context
}

var _ io.ReadWriteCloser = (*Stream)(nil)

var errWritten = errors.New("h2test: a write after CloseWrite")

// ID returns the stream's identifier in frames.
func (s *Stream) ID() uint32 { return s.id }

// Response waits for the head of the response. Its Body is the Stream. Interim responses
// (1xx) are skipped.
func (s *Stream) Response() (*http.Response, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	for s.response == nil {
		if s.err != nil {
			return nil, s.err
		}
		s.changed.Wait()
	}
	return s.response, nil
}

// Read waits for data. It returns io.EOF when the server has ended its side.
func (s *Stream) Read(p []byte) (int, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	for s.buf.Len() == 0 && len(p) > 0 {
		switch {
		case s.endReceived:
			return 0, io.EOF
		case s.err != nil:
			return 0, s.err
		}
		s.changed.Wait()
	}
	n, _ := s.buf.Read(p) // the error is io.EOF for an empty buffer, which it is not
	s.unacknowledged += int64(n)
	if s.unacknowledged >= streamWindow/2 && !s.endReceived && s.err == nil {
		_ = s.c.fr.WriteWindowUpdate(s.id, uint32(s.unacknowledged))
		s.c.queued.Signal()
		s.receive += s.unacknowledged
		s.unacknowledged = 0
	}
	return n, nil
}

// Write sends data within the server's windows, and waits for them.
func (s *Stream) Write(p []byte) (n int, err error) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(p) > 0 {
		switch {
		case s.err != nil:
			return n, s.err
		case s.endSent:
			return n, errWritten
		case c.queue.Len() >= queueLimit:
			c.drained.Wait()
			continue
		}
		size := int(min(int64(len(p)), int64(c.frameSizeLocked()), s.send, c.send))
		if size <= 0 {
			s.changed.Wait()
			continue
		}
		_ = c.fr.WriteData(s.id, false, p[:size])
		c.queued.Signal()
		s.send -= int64(size)
		c.send -= int64(size)
		n += size
		p = p[size:]
	}
	return n, nil
}

// CloseWrite sends END_STREAM: nothing more can be written. The server can still answer.
func (s *Stream) CloseWrite() error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if s.endSent {
		return nil
	}
	_ = s.c.fr.WriteData(s.id, true, nil)
	s.c.queued.Signal()
	s.endSent = true
	s.changed.Broadcast() // a waiting Write fails
	s.forgetLocked()
	return nil
}

// Reset sends RST_STREAM, unless the stream has ended. Bytes that were received before can
// still be read.
func (s *Stream) Reset(code http2.ErrCode) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.resetLocked(code, http2.StreamError{StreamID: s.id, Code: code, Cause: errHere})
}

var errHere = errors.New("h2test: reset by this side")

// Close resets the stream with CANCEL, unless it has ended.
func (s *Stream) Close() error {
	s.Reset(http2.ErrCodeCancel)
	return nil
}

func (s *Stream) resetLocked(code http2.ErrCode, err error) {
	if s.err != nil || s.endReceived && s.endSent {
		return
	}
	_ = s.c.fr.WriteRSTStream(s.id, code)
	s.c.queued.Signal()
	s.failLocked(err)
}

// failLocked ends the stream with an error.
func (s *Stream) failLocked(err error) {
	if s.err == nil {
		s.err = err
		s.forgetLocked()
	}
	s.changed.Broadcast()
	s.c.drained.Broadcast() // a Write may wait for the queue
}

// forgetLocked forgets a stream that has ended on both sides.
func (s *Stream) forgetLocked() {
	if s.err != nil || s.endReceived && s.endSent {
		delete(s.c.streams, s.id)
		s.stopWatch()
	}
}

// headLocked handles the head of the response. Trailers are dropped.
func (s *Stream) headLocked(f *http2.MetaHeadersFrame) error {
	status, err := strconv.Atoi(f.PseudoValue("status"))
	if s.response != nil {
		if !f.StreamEnded() {
			return errors.New("h2test: trailers without END_STREAM")
		}
		return nil
	}
	if err != nil || status < 100 || status > 999 {
		return errors.New("h2test: a response without a status")
	}
	if status < 200 {
		return nil
	}
	res := &http.Response{
		Status:     strconv.Itoa(status) + " " + http.StatusText(status),
		StatusCode: status,
		Proto:      "HTTP/2.0", ProtoMajor: 2,
		Header:        http.Header{},
		Body:          s,
		ContentLength: -1,
		Request:       s.request,
	}
	for _, h := range f.RegularFields() {
		res.Header.Add(h.Name, h.Value)
	}
	if n, err := strconv.ParseInt(res.Header.Get("Content-Length"), 10, 64); err == nil {
		res.ContentLength = n
	}
	s.response = res
	s.changed.Broadcast()
	return nil
}
