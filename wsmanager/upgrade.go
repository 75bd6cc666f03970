package wsmanager

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

// upgrade sends the 101 that w's header says the rest of, once, and takes the
// connection over. early is what the client has sent behind its request.
//
// Components above are told by WriteHeader, and may add to the header there. Some
// writers pass the status on, some keep it until something is written, some send it
// in their Hijack. So net/http's own writer is asked afterwards: what has reached it
// its Hijack has sent, and what has not is sent here. Where that writer can't be found,
// nobody is told, so that nobody else sends anything, and the answer is sent here too.
//
// An error that is a refusal leaves the response as it was. With another the handshake
// has broken off; the connection, if it was taken over, is closed (see hungUp).
func upgrade(w http.ResponseWriter, patience time.Duration) (conn net.Conn, early []byte, err error) {
	own := findOwn(w)
	if own.wroteHeader() {
		return nil, nil, fmt.Errorf("the response had begun before the handshake, with the status %d, through %s", own.status(), writerTypes(w))
	}
	rc := http.NewResponseController(w)
	deadline := time.Now().Add(patience)
	// A writer that has no deadlines makes the handshake as patient as the server is.
	limited := own.known() && rc.SetWriteDeadline(deadline) == nil
	if own.known() {
		tell(w, own, http.StatusSwitchingProtocols, notOfSwitch)
	}
	conn, rw, err := rc.Hijack() // sends what has reached net/http; clears deadlines
	if err == nil && conn == nil {
		err = errors.New("the call of Hijack returned neither a connection nor an error")
	}
	switch {
	case err == nil:
	case own.known():
		return nil, nil, fmt.Errorf("taking the connection over from %s: %w", writerTypes(w), err)
	default:
		return nil, nil, internal(fmt.Errorf("the http.ResponseWriter can't be hijacked: %s: %w", writerTypes(w), err))
	}
	switch {
	case !own.wroteHeader():
		err = sendSwitch(conn, answerHeader(w, own, 0), deadline)
	case own.status() != http.StatusSwitchingProtocols:
		err = fmt.Errorf("the status was changed to %d", own.status())
	case limited && !time.Now().Before(deadline):
		// net/http says nothing of a write that fails there: only a part of the
		// answer may have left.
		err = os.ErrDeadlineExceeded
	}
	if err != nil {
		_ = conn.Close() // there is nothing to do about an error
		return nil, nil, hungUp{fmt.Errorf("sending the answer below %s: %w", writerTypes(w), err)}
	}
	// What a writer has left in rw.Writer came before the answer, or is no frame.
	if rw != nil && rw.Reader != nil {
		if n := rw.Reader.Buffered(); n > 0 {
			early = make([]byte, n)
			_, _ = rw.Reader.Read(early) // what is buffered is read whole and without error
		}
	}
	return conn, early, nil
}

// hungUp is a handshake that broke off when its connection had been taken over. It is
// closed.
type hungUp struct{ error }

func (e hungUp) Unwrap() error { return e.error }

// tell gives a status to w, which hands it down. Where a writer keeps it, those below
// are told one by one, except net/http's own: that is left to who called. without is
// what none of their headers may have.
func tell(w http.ResponseWriter, own ownWriter, status int, without []string) {
	h := w.Header()
	for range httpx.MaxWriters {
		w.WriteHeader(status)
		if !own.known() || own.wroteHeader() {
			return
		}
		if w = httpx.Unwrap(w); w == nil || isOwn(w) {
			return
		}
		handDown(h, w.Header(), without)
	}
}

// handDown does to the header of a writer below, should it have one of its own, what
// passing a status on would have done.
func handDown(from, to http.Header, without []string) {
	for _, name := range without {
		to.Del(name)
	}
	maps.Copy(to, from)
}

// notOfSwitch is headers that somebody above may have set for an ordinary response, and
// that a 101 has not. (A Content-Type makes compressors take it for one.)
var notOfSwitch = []string{"Content-Length", "Content-Encoding", "Content-Type", "Transfer-Encoding", "Trailer"}

// answerHeader is the header of a 101 that net/http does not send: w's, and what
// components have set below writers that keep one of their own.
func answerHeader(w http.ResponseWriter, own ownWriter, depth int) http.Header {
	var h http.Header
	if below := httpx.Unwrap(w); below != nil && depth < httpx.MaxWriters {
		h = answerHeader(below, own, depth+1)
	}
	if h == nil {
		h = own.header()
	}
	maps.Copy(h, w.Header())
	return h
}

// sendSwitch sends a 101 as net/http would.
func sendSwitch(conn net.Conn, h http.Header, deadline time.Time) error {
	for _, name := range notOfSwitch {
		h.Del(name)
	}
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = h.Write(&head) // a buffer takes all
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

// writerTypes names the types of w and of what it unwraps to, for the log.
func writerTypes(w http.ResponseWriter) string {
	var names []string
	for len(names) < httpx.MaxWriters && w != nil {
		names = append(names, fmt.Sprintf("%T", w))
		w = httpx.Unwrap(w)
	}
	return strings.Join(names, " over ")
}
