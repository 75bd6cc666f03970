package golden_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is the time after which something that has not come will not come. It is only
// spent on what fails.
const patience = 30 * time.Second

// wire is one TCP connection of a client that hides nothing: the received bytes, and whether the
// server has ended it.
type wire struct {
	conn       net.Conn
	clientPort string

	mu    sync.Mutex
	data  []byte
	state string // open, closed or reset
}

// dial connects, and reads until the server ends the connection or close is called.
func dial(t *testing.T, port int) *wire {
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	require.NoError(t, err)
	w := &wire{conn: conn, state: "open", clientPort: strconv.Itoa(conn.LocalAddr().(*net.TCPAddr).Port)}
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := conn.Read(buf)
			w.mu.Lock()
			w.data = append(w.data, buf[:n]...)
			switch {
			case errors.Is(err, io.EOF):
				w.state = "closed"
			case errors.Is(err, syscall.ECONNRESET):
				w.state = "reset"
			}
			w.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return w
}

func (w *wire) received() ([]byte, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.data, w.state
}

// hasMore reports whether more than seen bytes have come, or the end.
func (w *wire) hasMore(seen int) bool {
	data, state := w.received()
	return len(data) > seen || state != "open"
}

// send ignores errors: the server may have ended the connection already.
func (w *wire) send(latin1 string) {
	data := make([]byte, 0, len(latin1))
	for _, c := range latin1 {
		data = append(data, byte(c))
	}
	_, _ = w.conn.Write(data)
}

// waitFor polls until ok holds, for at most d.
func waitFor(d time.Duration, ok func() bool) bool {
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); ; <-tick.C {
		if ok() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// open sends a case. The answers come in the background.
func open(t *testing.T, c *testCase, e *env) *wire {
	etag := ""
	if c.ETagOf != "" {
		etag = fetchETag(t, e.port, c.ETagOf)
	}
	e.forget()
	fill := strings.NewReplacer("{port}", strconv.Itoa(e.port), "{etag}", etag)
	w := dial(t, e.port)
	w.send(fill.Replace(c.Raw))
	headSent := strings.Contains(c.Raw, "\r\n\r\n")
	seen := 0
	for _, more := range c.Then {
		// The next piece follows what the server has to say to the one before. To half a
		// head it says nothing.
		wait := patience
		if !headSent {
			wait = 50 * time.Millisecond
		}
		waitFor(wait, func() bool { return w.hasMore(seen) })
		data, _ := w.received()
		seen = len(data)
		if answers, _, complete := parseAnswers(data, c.methods(), true); complete && answers[len(answers)-1].get("connection") == "close" {
			break // the server ends the connection, and would reset it now
		}
		w.send(fill.Replace(more))
		headSent = true
	}
	return w
}

var etagLine = regexp.MustCompile(`(?i)\r\netag: *([^\r]*)\r\n`)

func fetchETag(t *testing.T, port int, path string) string {
	w := dial(t, port)
	defer w.conn.Close()
	w.send("GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	require.True(t, waitFor(patience, func() bool { _, state := w.received(); return state != "open" }))
	data, _ := w.received()
	if m := etagLine.FindSubmatch(data); m != nil {
		return string(m[1])
	}
	return `"none"`
}

// header is one field of a head.
type header struct{ name, value string }

// rawAnswer is an answer as it came.
type rawAnswer struct {
	version, reason string
	status          int
	framing         string
	headers         []header
	body            []byte
	informational   bool
	incomplete      bool
}

func (a *rawAnswer) get(name string) string {
	for _, h := range a.headers {
		if h.name == name {
			return h.value
		}
	}
	return ""
}

// parseAnswers takes the answers to requests with the given methods from data. complete is
// false if not all of them are there.
func parseAnswers(data []byte, methods []string, ended bool) (answers []*rawAnswer, rest []byte, complete bool) {
	for i := 0; i < len(methods); {
		a, after, ok := parseHead(data)
		if !ok {
			return answers, data, false
		}
		if a.informational || a.status == 101 {
			answers, data = append(answers, a), after
			if a.status == 101 {
				return answers, data, true
			}
			continue
		}
		after, whole := a.parseBody(after, methods[i], ended)
		if !whole {
			return answers, data, false
		}
		answers, data = append(answers, a), after
		i++
	}
	return answers, data, true
}

func parseHead(data []byte) (a *rawAnswer, rest []byte, ok bool) {
	head, rest, found := bytes.Cut(data, []byte("\r\n\r\n"))
	if !found {
		return nil, data, false
	}
	lines := strings.Split(string(head), "\r\n")
	first := strings.SplitN(lines[0], " ", 3)
	a = &rawAnswer{version: first[0], framing: "none"}
	if len(first) < 2 {
		return nil, data, false
	}
	var err error
	if a.status, err = strconv.Atoi(first[1]); err != nil {
		return nil, data, false
	}
	if len(first) > 2 {
		a.reason = first[2]
	}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		a.headers = append(a.headers, header{strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)})
	}
	a.informational = a.status >= 100 && a.status < 200 && a.status != 101
	return a, rest, true
}

// parseBody takes the body from data. whole is false if more may come.
func (a *rawAnswer) parseBody(data []byte, method string, ended bool) (rest []byte, whole bool) {
	length, err := strconv.Atoi(a.get("content-length"))
	a.body = []byte{}
	switch {
	case method == "HEAD" || a.status == 204 || a.status == 304 || method == "CONNECT" && a.status < 300:
		return data, true
	case strings.Contains(strings.ToLower(a.get("transfer-encoding")), "chunked"):
		a.framing = "chunked"
		a.body, rest, whole = parseChunks(data)
		if !whole {
			a.incomplete = ended
			return nil, ended
		}
		return rest, true
	case err == nil:
		a.framing = "length"
		if len(data) < length {
			a.body, a.incomplete = data, ended
			return nil, ended
		}
		a.body = data[:length]
		return data[length:], true
	}
	a.framing, a.body = "close", data
	return nil, ended
}

// parseChunks returns what there is of a chunked body.
func parseChunks(data []byte) (body, rest []byte, whole bool) {
	body = []byte{}
	for {
		line, after, found := bytes.Cut(data, []byte("\r\n"))
		if !found {
			return body, nil, false
		}
		text, _, _ := strings.Cut(string(line), ";")
		size, err := strconv.ParseInt(text, 16, 64)
		if err != nil {
			return append(body, fmt.Sprintf("<bad chunk size %q>", line)...), nil, false
		}
		if size == 0 {
			if after, ok := bytes.CutPrefix(after, []byte("\r\n")); ok {
				return body, after, true
			}
			_, after, found := bytes.Cut(after, []byte("\r\n\r\n")) // trailers
			return body, after, found
		}
		if int64(len(after)) < size+2 {
			return append(body, after[:min(int64(len(after)), size)]...), nil, false
		}
		body, data = append(body, after[:size]...), after[size+2:]
	}
}
