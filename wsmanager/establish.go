package wsmanager

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"

	"github.com/speakingtube/speakingtube/wsmanager/internal/counters"
	"github.com/speakingtube/speakingtube/wsmanager/internal/deflate"
	"github.com/speakingtube/speakingtube/wsmanager/internal/handshake"
	"github.com/speakingtube/speakingtube/wsmanager/internal/sender"
	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// acceptConn answers a valid handshake. It returns the registered connection with its
// transport, its driver, and the bytes that the client has sent after the request.
func (m *Manager) acceptConn(w http.ResponseWriter, r *http.Request, req *handshake.Request, a Accept) (c *Conn, d driver, early []byte, err error) {
	if err := m.checkDriver(req, r); err != nil {
		return nil, nil, nil, handshake.Failure(err)
	}
	if err := req.Prepare(w, m.opts.HandshakeTimeout); err != nil {
		return nil, nil, nil, err
	}
	a.Value = withLogAttrs(a.Value, m.opts.requestAttrs(r))
	c = m.newConn(m.bus.newConnID(), a, r.TLS, r.RemoteAddr)
	answer := handshake.Answer{Subprotocol: a.Subprotocol, Header: a.Header}
	if m.opts.Compression.Enabled && a.Compression != CompressionOff {
		if answer.Extensions = deflate.Negotiate(r.Header["Sec-Websocket-Extensions"]); answer.Extensions != "" {
			c.agreeDeflate()
		}
	}
	d, err = c.establish(a, func() (t transport.Transport, d driver, err error) {
		if req.Stream {
			return m.openStream(w, r, req, &answer)
		}
		t, d, early, err = m.upgrade(c, w, req, &answer)
		return t, d, err
	})
	return c, d, early, err
}

// checkDriver returns an error if Options.Driver can't serve a connection of this
// protocol.
func (m *Manager) checkDriver(req *handshake.Request, r *http.Request) error {
	switch {
	case m.opts.Driver != DriverEventLoop:
		return nil
	case req.Stream:
		return errors.New("the event loop can't serve HTTP/2, because its streams have no socket of their own: use DriverAuto or DriverGoroutine")
	case r.TLS != nil:
		return fmt.Errorf("the event loop can't serve TLS: %w", errNotPlainTCP)
	}
	return nil
}

// upgrade answers a handshake over HTTP/1.1 and makes the transport of c.
func (m *Manager) upgrade(c *Conn, w http.ResponseWriter, req *handshake.Request, answer *handshake.Answer) (t transport.Transport, d driver, early []byte, err error) {
	conn, early, err := req.Upgrade(w, answer, m.opts.HandshakeTimeout)
	if err != nil {
		return nil, nil, nil, err
	}
	if t, d, err = m.drive(c, conn); err != nil {
		_ = conn.Close() // the error to report is err
		return nil, nil, nil, &handshake.BrokenError{Closed: true, Err: err}
	}
	return t, d, early, nil
}

// openStream answers a handshake over HTTP/2. Its driver runs on the goroutine of the
// request, which must not return before the connection has ended.
func (m *Manager) openStream(w http.ResponseWriter, r *http.Request, req *handshake.Request, answer *handshake.Answer) (transport.Transport, driver, error) {
	stream, err := req.OpenStream(w, answer)
	if err != nil {
		return nil, nil, err
	}
	t := transport.NewStream(stream, r.Body, streamAddr(r))
	return t, streamDriver{t}, nil
}

// streamAddr returns the peer's address, as text if the request has no IP address.
func streamAddr(r *http.Request) net.Addr {
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return textAddr(r.RemoteAddr)
	}
	return net.TCPAddrFromAddrPort(addr)
}

// establish registers a new connection, gets its transport from open, and attaches it. If
// open fails or panics, the connection is abandoned: no callback is called. After the
// beginning of Shutdown the error is ErrShutdown.
//
// The connection is registered before open sends the end of the handshake, so that it gets
// each broadcast that is made after the peer has seen the handshake succeed.
func (c *Conn) establish(a Accept, open func() (transport.Transport, driver, error)) (driver, error) {
	c.m.register(c, a)
	attached := false
	defer func() {
		if !attached {
			abandon(c)
		}
	}()
	if c.m.admission.IsDraining() { // Shutdown may have walked the registry before c was in it
		return nil, ErrShutdown
	}
	t, d, err := open()
	if err != nil {
		return nil, err
	}
	attached = true
	c.m.counters.Accepted.Add(1)
	if c.who.deflate {
		c.m.counters.Compression.Agreed.Add(1)
	}
	c.session().attach(t)
	return d, nil
}

// newConn makes a connection that is not registered yet.
func (m *Manager) newConn(id string, a Accept, state *tls.ConnectionState, remote string) *Conn {
	c := &Conn{
		m: m, id: id, who: &anonymous,
		since: m.wheel.Elapsed(),
		in:    receiver{limits: newRateLimits(m.opts.MessageRate, m.opts.MessageBurst)},
	}
	c.life.setExpiry(a.Expires)
	policy := cmp.Or(a.SlowConsumer, m.opts.SlowConsumer)
	c.out.Init(&m.sending, textAddr(remote), sender.Policy(policy), uint8(m.joined.Add(1)%counters.Stripes))
	if a.User != "" || a.Value != nil || a.Subprotocol != "" || state != nil {
		c.who = &identity{user: a.User, value: a.Value, subprotocol: a.Subprotocol, tls: state}
	}
	return c
}

// abandon ends a registered connection whose handshake failed. No callback has got the
// connection, but other goroutines may have found it in the registry.
func abandon(c *Conn) {
	c.session().cut(&CloseError{Code: StatusAbnormalClosure, Err: errNoHandshake})
	c.m.unregister(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.life.endForApplication()
}

var errNoHandshake = errors.New("wsmanager: the handshake broke off")

// textAddr is an address of which only the text is known.
type textAddr string

func (textAddr) Network() string  { return "tcp" }
func (a textAddr) String() string { return string(a) }
