package wsmanager

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/gobwas/ws"

	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/wsmanager/internal/deflate"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

var (
	// ErrHandshake is what [Dial] returns when the server has answered with a 101
	// that is none, or with no HTTP at all (RFC 6455, section 4.1).
	ErrHandshake = errors.New("wsmanager: the server's answer is no WebSocket handshake")

	errHandshakeTimeout = fmt.Errorf("wsmanager: no handshake within Options.HandshakeTimeout: %w", os.ErrDeadlineExceeded)
	errHeadTooBig       = fmt.Errorf("%w: its head is bigger than %d bytes", ErrHandshake, maxHandshake)
)

const (
	// maxHandshake is how many bytes are read for the answer to a handshake, or to
	// CONNECT.
	maxHandshake = 64 << 10

	// maxRefusedBody is how much of the body a RefusedError has.
	maxRefusedBody = 4 << 10
)

// RefusedError is a handshake that was answered with something else than a 101, by
// the server or by a proxy on the way.
type RefusedError struct {
	StatusCode int
	Header     http.Header
	Body       []byte // the first 4 KiB, of what came in time
	Proxy      bool   // the proxy's answer to CONNECT; the server was not reached
}

// Error implements error. It quotes the beginning of a body that is text.
func (e *RefusedError) Error() string {
	by := "server"
	if e.Proxy {
		by = "proxy"
	}
	s := fmt.Sprintf("the %s refused with %d %s", by, e.StatusCode, http.StatusText(e.StatusCode))
	if location := e.Header.Get("Location"); location != "" {
		s += fmt.Sprintf(" (to %q, which is not followed)", withoutSecrets(location))
	}
	text, _, _ := strings.Cut(strings.TrimSpace(string(e.Body)), "\n")
	if text != "" && len(text) <= 200 && strings.HasPrefix(e.Header.Get("Content-Type"), "text/plain") {
		s += fmt.Sprintf(": %q", text)
	}
	return s
}

// withoutSecrets is a URL reference without user, query and fragment: a server that
// redirects often hands on those that it was asked with.
func withoutSecrets(ref string) string {
	u, err := url.Parse(ref)
	if err != nil {
		return "…"
	}
	u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
	return u.String()
}

// dialled is what a handshake leads to.
type dialled struct {
	conn        net.Conn
	early       []byte // what came with the server's answer
	tls         *tls.ConnectionState
	subprotocol string
	deflate     bool
}

// handshake connects and shakes hands, within ctx.
func (d *attempt) handshake(ctx context.Context) (s *dialled, err error) {
	conn, err := d.reach(ctx)
	if err != nil {
		return nil, ended(ctx, err)
	}
	defer func() {
		if err != nil {
			_ = conn.Close() // the error that matters is there
		}
	}()
	s = &dialled{}
	if d.target.Scheme == "wss" {
		tc, err := d.startTLS(ctx, conn, d.target)
		if err != nil {
			return nil, ended(ctx, err)
		}
		conn = tc
		state := tc.ConnectionState()
		s.tls = &state
	}
	s.conn = conn
	err = during(ctx, conn, func() error { return d.upgrade(s) })
	return s, err
}

// during runs f, which reads from and writes to conn, and breaks it off when ctx
// ends.
func during(ctx context.Context, conn net.Conn, f func() error) error {
	stop := context.AfterFunc(ctx, func() {
		if conn.SetDeadline(longAgo) != nil { // NetDial's may have none
			_ = transport.Socket(conn).Close() // it is given up in any case
		}
	})
	err := f()
	if !stop() {
		var refused *RefusedError
		if errors.As(err, &refused) {
			return err // the body took too long, but the answer is there
		}
		return context.Cause(ctx)
	}
	return err
}

// ended returns the cause of ctx if that has ended, which err may hide.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// startTLS does the TLS handshake with the host of u.
func (d *attempt) startTLS(ctx context.Context, conn net.Conn, u *url.URL) (*tls.Conn, error) {
	cfg := d.opts.TLSConfig.Clone()
	if cfg == nil {
		cfg = &tls.Config{}
	}
	if cfg.ServerName == "" {
		cfg.ServerName = u.Hostname()
	}
	cfg.NextProtos = []string{"http/1.1"} // a WebSocket begins with an upgrade, which HTTP/2 has not
	tc := tls.Client(conn, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return tc, nil
}

// upgrade does the WebSocket handshake. gobwas bounds nothing that it reads, so the
// reader does.
func (d *attempt) upgrade(s *dialled) error {
	var refused *RefusedError
	response := make(http.Header)
	wd := ws.Dialer{
		Protocols: d.opts.Subprotocols,
		Header:    ws.HandshakeHeaderHTTP(d.header),
		Host:      d.host,
		OnHeader: func(key, value []byte) error {
			response.Add(string(key), string(value))
			return nil
		},
		OnStatusError: func(status int, _ []byte, answer io.Reader) {
			refused = readRefusal(status, bufio.NewReader(answer))
		},
	}
	head := &headReader{r: s.conn, left: maxHandshake}
	if d.m.opts.Compression.Enabled {
		wd.Extensions = append(wd.Extensions, deflate.Offer) // others may not be in the answer
		head.keep = true
	}
	rw := struct {
		io.Reader
		io.Writer
	}{head, s.conn}
	br, hs, err := wd.Upgrade(rw, d.target)
	if br != nil {
		defer ws.PutReader(br)
	}
	switch {
	case refused != nil:
		return refused
	case err != nil:
		return handshakeError(err)
	case !head.speaksHTTP():
		return fmt.Errorf("%w: its version of HTTP is %.8q", ErrHandshake, head.start[:])
	}
	if br != nil {
		s.early = make([]byte, br.Buffered())
		_, _ = io.ReadFull(br, s.early) // what is buffered is read whole and without error
	}
	s.subprotocol = hs.Protocol
	if len(hs.Extensions) > 0 {
		if s.deflate, err = agreedDeflate(head.kept); err != nil {
			return err
		}
	}
	if d.opts.OnResponse != nil {
		return d.opts.OnResponse(response)
	}
	return nil
}

// agreedDeflate looks at the answer's extensions again: gobwas has seen that they were
// offered, but of a parameter that is there twice it keeps one.
func agreedDeflate(head []byte) (bool, error) {
	res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), nil)
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	defer res.Body.Close()
	agreed, err := deflate.CheckAnswer(res.Header["Sec-Websocket-Extensions"])
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	return agreed, nil
}

// handshakeError tells answers that are none from errors of the network.
func handshakeError(err error) error {
	var ne net.Error
	switch {
	case errors.As(err, &ne), errors.Is(err, ErrHandshake):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the connection ended before the handshake: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("%w: %w", ErrHandshake, err)
}

// headReader reads no more than is left.
type headReader struct {
	r     io.Reader
	left  int
	start [len("HTTP/1.1")]byte // of what was read
	had   int                   // how much of that there is
	keep  bool
	kept  []byte // what was read, if it is to be kept
}

// speaksHTTP reports whether the answer begins with a version that has upgrades. gobwas
// takes other characters for digits.
func (h *headReader) speaksHTTP() bool {
	major, minor, ok := http.ParseHTTPVersion(string(h.start[:h.had]))
	return ok && major == 1 && minor >= 1
}

func (h *headReader) Read(p []byte) (int, error) {
	if h.left <= 0 {
		return 0, errHeadTooBig
	}
	n, err := h.r.Read(p[:min(len(p), h.left)])
	h.left -= n
	h.had += copy(h.start[h.had:], p[:n])
	if h.keep {
		h.kept = append(h.kept, p[:n]...)
	}
	return n, err
}

// readRefusal reads an answer that refuses, as far as it comes.
func readRefusal(status int, br *bufio.Reader) *RefusedError {
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		return &RefusedError{StatusCode: status, Header: http.Header{}}
	}
	return refusalOf(res, false)
}

func refusalOf(res *http.Response, proxy bool) *RefusedError {
	defer res.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxRefusedBody)) // a part is better than nothing
	return &RefusedError{StatusCode: res.StatusCode, Header: res.Header, Body: body, Proxy: proxy}
}

// handshakeHeader is the headers to send, and the host.
func handshakeHeader(h http.Header) (out http.Header, host string, err error) {
	var errs []error
	wrong := func(name, why string) {
		errs = append(errs, fmt.Errorf("wsmanager: DialOptions.Header: %q %s", name, why))
	}
	out = make(http.Header, len(h)+1)
	for _, name := range slices.Sorted(maps.Keys(h)) {
		values := h[name]
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case !httpx.IsToken(name):
			wrong(name, "is no name of a header")
			continue
		case canonical == "Connection", canonical == "Upgrade", strings.HasPrefix(canonical, "Sec-Websocket-"):
			wrong(name, "belongs to the handshake")
			continue
		case canonical == "Content-Length", canonical == "Transfer-Encoding", canonical == "Trailer":
			wrong(name, "is about a body, and a handshake has none")
			continue
		}
		for _, v := range values {
			if !httpx.IsFieldValue(v) {
				wrong(name, "has a control character in its value")
				continue
			}
			if canonical == "Host" {
				host = v
			} else {
				out[canonical] = append(out[canonical], v)
			}
		}
	}
	return out, host, errors.Join(errs...)
}

func checkSubprotocols(names []string) error {
	var errs []error
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		switch {
		case !httpx.IsToken(name):
			errs = append(errs, fmt.Errorf("wsmanager: DialOptions.Subprotocols: %q is no token (RFC 6455, section 4.1)", name))
		case seen[name]:
			errs = append(errs, fmt.Errorf("wsmanager: DialOptions.Subprotocols: %q is there twice", name))
		}
		seen[name] = true
	}
	return errors.Join(errs...)
}

func basicAuth(u *url.Userinfo) string {
	password, _ := u.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password))
}
