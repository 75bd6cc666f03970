package handshake

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

// Prepare finds out whether the answer can be sent through w. timeout limits the time until
// the answer is sent. The error is a *Refusal.
func (q *Request) Prepare(w http.ResponseWriter, timeout time.Duration) error {
	if q.Stream {
		return prepareStream(w, timeout)
	}
	if httpx.Depth(w, httpx.IsHijacker) < 0 {
		return Failure(fmt.Errorf("the http.ResponseWriter can't be hijacked: nothing of %s is an http.Hijacker; http.TimeoutHandler and HTTP/2 are the usual reasons", writerTypes(w)))
	}
	return nil
}

// Upgrade sends a 101 and takes the connection over. early are the bytes that the client
// has sent after its request.
//
// Outer components see the 101 by WriteHeader, and may add headers in it. Some writers
// forward the status, some store it until the first write, and some send it in Hijack. So
// Upgrade looks at net/http's own writer after Hijack: if it has received the status, its
// Hijack has sent the answer; otherwise Upgrade sends it. If that writer can't be found,
// no component is told, so that none of them can send an answer, and Upgrade sends it.
//
// After a *Refusal the header of w is as it was, except for changes by other components.
// Any other error is a *BrokenError.
func (q *Request) Upgrade(w http.ResponseWriter, a *Answer, timeout time.Duration) (conn net.Conn, early []byte, err error) {
	err = q.sendAnswer(w, a, func(http.Header) (err error) {
		conn, early, err = hijack(w, timeout)
		return err
	})
	return conn, early, err
}

// sendAnswer writes the header of the answer into that of w and calls send with it. If send fails or
// panics, as an outer component may in WriteHeader, it restores the header.
func (q *Request) sendAnswer(w http.ResponseWriter, a *Answer, send func(http.Header) error) (err error) {
	h := w.Header()
	before := h.Clone()
	q.writeHeader(h, a)
	sent := false
	defer func() {
		if !sent {
			restoreHeader(h, before, a)
		}
	}()
	err = send(h)
	sent = err == nil
	return err
}

func hijack(w http.ResponseWriter, timeout time.Duration) (conn net.Conn, early []byte, err error) {
	server := findServerWriter(w)
	if server.wroteHeader() {
		return nil, nil, &BrokenError{Err: fmt.Errorf("the response had begun before the handshake, with the status %d, through %s", server.status(), writerTypes(w))}
	}
	rc := http.NewResponseController(w)
	deadline := time.Now().Add(timeout)
	// If the writer has no deadlines, only the time limits of the server apply.
	limited := server.known() && rc.SetWriteDeadline(deadline) == nil
	if server.known() {
		announce(w, server, http.StatusSwitchingProtocols, notInSwitch)
	}
	conn, rw, err := rc.Hijack() // sends the answer if net/http has received it; clears deadlines
	if err == nil && conn == nil {
		err = errors.New("Hijack returned neither a connection nor an error")
	}
	switch {
	case err == nil:
	case server.known():
		return nil, nil, &BrokenError{Err: fmt.Errorf("taking the connection over from %s: %w", writerTypes(w), err)}
	default:
		return nil, nil, Failure(fmt.Errorf("the http.ResponseWriter can't be hijacked: %s: %w", writerTypes(w), err))
	}
	switch {
	case !server.wroteHeader():
		err = sendSwitch(conn, mergedHeader(w, server, 0), deadline)
	case server.status() != http.StatusSwitchingProtocols:
		err = fmt.Errorf("the status was changed to %d", server.status())
	case limited && !time.Now().Before(deadline):
		// net/http does not report that its write has failed: a part of the answer may
		// be missing.
		err = os.ErrDeadlineExceeded
	}
	if err != nil {
		_ = conn.Close() // the error to report is err
		return nil, nil, &BrokenError{Closed: true, Err: fmt.Errorf("sending the answer below %s: %w", writerTypes(w), err)}
	}
	// Bytes in rw.Writer are dropped: they belong before the answer, or are not frames.
	if rw != nil && rw.Reader != nil {
		if n := rw.Reader.Buffered(); n > 0 {
			early = make([]byte, n)
			_, _ = rw.Reader.Read(early) // buffered bytes are read in one call, without an error
		}
	}
	return conn, early, nil
}

// announce calls WriteHeader(status) on w, and on the writers below it as long as the
// status has not reached net/http's own writer, which is never called here: the caller
// does that. without are headers that none of the writers may keep.
func announce(w http.ResponseWriter, server serverWriter, status int, without []string) {
	h := w.Header()
	for range httpx.MaxWriters {
		w.WriteHeader(status)
		if !server.known() || server.wroteHeader() {
			return
		}
		if w = httpx.Unwrap(w); w == nil || isServerWriter(w) {
			return
		}
		copyHeader(w.Header(), h, without)
	}
}

// copyHeader copies from into to, which may be the same map, and deletes the headers in
// without first. Writers that have a header of their own do the same when they forward
// the status.
func copyHeader(to, from http.Header, without []string) {
	for _, name := range without {
		to.Del(name)
	}
	maps.Copy(to, from)
}

// mergedHeader returns the header of a 101 that net/http does not send: that of w, and
// headers that components have set below writers with a header of their own.
func mergedHeader(w http.ResponseWriter, server serverWriter, depth int) http.Header {
	var h http.Header
	if below := httpx.Unwrap(w); below != nil && depth < httpx.MaxWriters {
		h = mergedHeader(below, server, depth+1)
	}
	if h == nil {
		h = server.header()
	}
	maps.Copy(h, w.Header())
	return h
}

// sendSwitch writes a 101 as net/http would.
func sendSwitch(conn net.Conn, h http.Header, deadline time.Time) error {
	for _, name := range notInSwitch {
		h.Del(name)
	}
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = h.Write(&head) // a buffer returns no error
	if _, ok := h["Date"]; !ok {
		head.WriteString("Date: " + time.Now().UTC().Format(http.TimeFormat) + "\r\n")
	}
	head.WriteString("\r\n")
	limited := conn.SetWriteDeadline(deadline) == nil
	if _, err := conn.Write(head.Bytes()); err != nil {
		return err
	}
	if limited {
		return conn.SetWriteDeadline(time.Time{})
	}
	return nil
}

// writerTypes returns the types of w and of the writers below it, for the log.
func writerTypes(w http.ResponseWriter) string {
	var names []string
	for len(names) < httpx.MaxWriters && w != nil {
		names = append(names, fmt.Sprintf("%T", w))
		w = httpx.Unwrap(w)
	}
	return strings.Join(names, " over ")
}
