package wsmanager_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// Conformance with RFC 6455. A case says which octets the peer sends, which frames it must
// receive, and how the connection ends. Every case runs over a real socket with each
// driver: against our server, which echoes messages, and against our client. The tables are
// in the other conformance files. They build and parse frames without this package or a
// library, so no code is tested against itself.

// conformance is one case. By default the connection survives it: the test shows that with
// a close handshake (code 1000) that the peer starts.
type conformance struct {
	section string // section of RFC 6455, unless it names another RFC
	name    string
	send    string // octets that the peer sends
	chop    int    // octets in each write; 0 for one write
	want    []wire // frames that the peer must receive; a close frame is the last one
	fails   int    // our side closes with this code
}

// wire is a frame without its mask.
type wire struct {
	first   byte // FIN, the reserved bits, the opcode
	payload string
}

// First octets of frames.
const (
	final = 0x80

	continuation = 0x0
	aText        = 0x1
	aBinary      = 0x2
	aClose       = 0x8
	aPing        = 0x9
	aPong        = 0xA
)

// Frames that the peer must receive.
func textOf(s string) wire   { return wire{final | aText, s} }
func binaryOf(s string) wire { return wire{final | aBinary, s} }
func pongOf(s string) wire   { return wire{final | aPong, s} }
func closeOf(code int, reason string) wire {
	return wire{final | aClose, closing(code, reason)}
}

// closing returns the payload of a close frame (section 5.5.1).
func closing(code int, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(code))) + reason
}

// peer builds the frames of the other side.
type peer struct{ masks bool }

// head returns the header of a frame with a payload of n octets. A masking key is part of
// it.
func (p peer) head(first byte, n int) string {
	switch {
	case n < 126:
		return p.headIn(first, 7, uint64(n))
	case n < 1<<16:
		return p.headIn(first, 16, uint64(n))
	default:
		return p.headIn(first, 64, uint64(n))
	}
}

var conformanceKey = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// headIn is head with the length encoded in the given number of bits.
func (p peer) headIn(first byte, bits int, n uint64) string {
	h := []byte{first}
	switch bits {
	case 7:
		h = append(h, byte(n))
	case 16:
		h = binary.BigEndian.AppendUint16(append(h, 126), uint16(n))
	default:
		h = binary.BigEndian.AppendUint64(append(h, 127), n)
	}
	if p.masks {
		h[1] |= 0x80
		h = append(h, conformanceKey[:]...)
	}
	return string(h)
}

// frame returns a complete frame.
func (p peer) frame(first byte, payload string) string {
	h := p.head(first, len(payload))
	if !p.masks {
		return h + payload
	}
	masked := []byte(payload)
	for i := range masked {
		masked[i] ^= conformanceKey[i%4]
	}
	return h + string(masked)
}

func (p peer) text(s string) string   { return p.frame(final|aText, s) }
func (p peer) binary(s string) string { return p.frame(final|aBinary, s) }
func (p peer) ping(s string) string   { return p.frame(final|aPing, s) }
func (p peer) close(code int, reason string) string {
	return p.frame(final|aClose, closing(code, reason))
}

// partialFrame is frame with a part of the payload only. The header announces promised octets.
func (p peer) partialFrame(first byte, promised int, payload string) string {
	whole := p.frame(first, payload+repeat("x", promised-len(payload)))
	return whole[:len(whole)-promised+len(payload)]
}

// parts returns a message in frames of at most size octets.
func (p peer) parts(op byte, payload string, size int) string {
	var out []byte
	for len(payload) > size {
		out = append(out, p.frame(op, payload[:size])...)
		op, payload = continuation, payload[size:]
	}
	return string(append(out, p.frame(final|op, payload)...))
}

// read reads a frame from our side. It must be masked if the peer's frames are not, and its
// length must have the shortest encoding.
func (p peer) read(br *bufio.Reader) (w wire, err error) {
	var h [2]byte
	if _, err = io.ReadFull(br, h[:]); err != nil {
		return w, err
	}
	w.first = h[0]
	n, least := uint64(h[1]&0x7f), uint64(0)
	if size := map[uint64]int{126: 2, 127: 8}[n]; size > 0 {
		var ext [8]byte
		if _, err = io.ReadFull(br, ext[8-size:]); err != nil {
			return w, err
		}
		least = map[int]uint64{2: 126, 8: 1 << 16}[size]
		n = binary.BigEndian.Uint64(ext[:])
	}
	masked := h[1]&0x80 != 0
	switch {
	case n < least:
		return w, fmt.Errorf("the length %d does not have its shortest encoding", n)
	case masked == p.masks:
		return w, fmt.Errorf("the mask bit is %v", masked)
	}
	var key [4]byte
	if masked {
		if _, err = io.ReadFull(br, key[:]); err != nil {
			return w, err
		}
	}
	payload := make([]byte, n)
	_, err = io.ReadFull(br, payload)
	for i := range payload {
		payload[i] ^= key[i%4]
	}
	w.payload = string(payload)
	return w, err
}

// conformanceGroup has cases that need the same connection settings.
type conformanceGroup struct {
	name       string
	cases      func(peer) []conformance
	opts       func(*wsmanager.Options)
	offer      http.Header // the offer of a client
	serverOnly bool
}

var conformanceGroups = []conformanceGroup{
	{name: "framing", cases: framingCases},
	{name: "reserved", cases: reservedCases},
	{name: "masking", cases: maskingCases},
	{name: "control", cases: controlCases},
	{name: "fragments", cases: fragmentCases},
	{name: "UTF-8", cases: utf8Cases},
	{name: "close", cases: closeCases},
	{name: "limits", cases: limitCases, opts: func(o *wsmanager.Options) { o.Limits.MaxMessageSize = conformanceLimit }},
	{name: "sizes", cases: sizeCases},
	{name: "compression", cases: deflateCases, opts: func(o *wsmanager.Options) {
		o.Limits.MaxMessageSize = conformanceLimit
		o.Compression = wsmanager.Compression{Enabled: true, Threshold: 1 << 20}
	}, offer: offering, serverOnly: true},
}

// allConformance enables the slow cases: SPEAKINGTUBE_CONFORMANCE=all.
var allConformance = os.Getenv("SPEAKINGTUBE_CONFORMANCE") == "all"

// subject is our side of the connection.
type subject struct {
	peer
	client  bool
	connect func(t *testing.T) *net.TCPConn // returns the peer's end, after the handshake
	ended   chan conformanceEnd
}

// conformanceEnd has the arguments of OnClose for the connection with the peer's address.
type conformanceEnd struct {
	addr string
	err  error
}

// end waits for the end of the connection with addr. Ends of connections of failed cases
// may arrive before and are skipped.
func (s *subject) end(t *testing.T, addr net.Addr) error {
	t.Helper()
	for {
		if e := receive(t, s.ended); e.addr == addr.String() {
			return e.err
		}
	}
}

func (s *subject) callbacks() wsmanager.Callbacks {
	return wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error { return c.Send(m) },
		OnClose:   func(c *wsmanager.Conn, err error) { s.ended <- conformanceEnd{c.RemoteAddr().String(), err} },
	}
}

func (g conformanceGroup) options() wsmanager.Options {
	opts := optionsWithoutLog()
	opts.Limits.ControlRate, opts.Limits.MaxMessageSize = 1<<20, 16<<20
	opts.Outbox.Messages, opts.Outbox.Bytes = 10_000, 128<<20 // an echo always fits, even if it is read late
	if g.opts != nil {
		g.opts(&opts)
	}
	return opts
}

func TestConformance(t *testing.T) { onEachDriverAtOnce(t, testConformance) }

func testConformance(t *testing.T) {
	needH1(t, "the end of the TCP connection is looked at")
	for _, g := range conformanceGroups {
		s := &subject{peer: peer{masks: true}, ended: make(chan conformanceEnd, 10)}
		_, url := serve(t, s.callbacks(), g.options(), nil)
		s.connect = func(t *testing.T) *net.TCPConn {
			c := dialOver(t, url, g.offer)
			return c.Conn().(*net.TCPConn)
		}
		runConformance(t, g, s)
	}
}

func TestConformanceOfTheClient(t *testing.T) { onSocketDriversAtOnce(t, testConformanceOfTheClient) }

func testConformanceOfTheClient(t *testing.T) {
	needH1(t, "our client speaks HTTP/1.1")
	for _, g := range conformanceGroups {
		if g.serverOnly {
			continue
		}
		s := &subject{client: true, ended: make(chan conformanceEnd, 10)}
		s.connect = func(t *testing.T) *net.TCPConn {
			conns := make(chan net.Conn, 1)
			done := make(chan struct{})
			url := rawServer(t, func(conn net.Conn, accept string) {
				_, _ = io.WriteString(conn, switching+accept+"\r\n\r\n")
				conns <- conn
				<-done
			})
			t.Cleanup(func() { close(done) }) // runs before the cleanup of rawServer, which waits
			connect(t, url, s.callbacks(), dialOptions(g.options()))
			return (<-conns).(*net.TCPConn)
		}
		runConformance(t, g, s)
	}
}

func runConformance(t *testing.T, g conformanceGroup, s *subject) {
	t.Helper()
	passed, side := 0, "server"
	if s.client {
		side = "client"
	}
	for _, tt := range g.cases(s.peer) {
		t.Run(g.name+"/"+tt.section+" "+tt.name, func(t *testing.T) {
			tt.run(t, s)
			passed++
		})
	}
	t.Logf("conformance: %s, %s, driver %v: %d cases passed", side, g.name, driverOf(t), passed)
}

func (tt conformance) run(t *testing.T, s *subject) {
	conn := patient{s.connect(t)}
	defer func() { _ = conn.Close() }() // closed already, unless the case failed
	wrote := make(chan error, 1)
	go func() { wrote <- writeChopped(conn, tt.send, tt.chop) }()
	want := tt.want
	if tt.fails != 0 {
		want = append(want[:len(want):len(want)], closeOf(tt.fails, ""))
	}
	br := bufio.NewReader(conn)
	last := wire{}
	expect := func(w wire) {
		got, err := s.read(br)
		require.NoError(t, err, "waiting for %#x of %d octets", w.first, len(w.payload))
		require.Equal(t, w.first, got.first, "%.100q", got.payload)
		if len(w.payload) < 1000 {
			require.Equal(t, w.payload, got.payload)
		}
		if w.payload != got.payload {
			require.Fail(t, "wrong payload", "%d octets instead of %d", len(got.payload), len(w.payload))
		}
		last = got
	}
	for _, w := range want {
		expect(w)
	}
	require.NoError(t, <-wrote)
	if last.first != final|aClose {
		_, err := io.WriteString(conn, s.close(1000, ""))
		require.NoError(t, err)
		expect(closeOf(1000, ""))
	}
	if s.client && tt.fails == 0 {
		require.NoError(t, conn.CloseWrite()) // the server closes the TCP connection first (section 7.1.1)
	}
	_, err := br.ReadByte()
	require.ErrorIs(t, err, io.EOF, "no further octets and no reset")
	require.NoError(t, conn.Close())
	tt.checkEnd(t, s.end(t, conn.LocalAddr()), last.payload)
}

// checkEnd compares the error of OnClose with the close frame.
func (tt conformance) checkEnd(t *testing.T, err error, closed string) {
	t.Helper()
	code, reason := 1005, ""
	if len(closed) > 0 {
		code, reason = int(binary.BigEndian.Uint16([]byte(closed))), closed[2:]
	}
	if tt.fails == 0 && (code == 1000 || code == 1001 || code == 1005) {
		require.NoError(t, err)
		return
	}
	var ce *wsmanager.CloseError
	require.ErrorAs(t, err, &ce)
	require.EqualValues(t, code, ce.Code)
	require.Equal(t, reason, ce.Reason)
	require.Equal(t, tt.fails == 0, ce.Remote)
}

// patient is a connection with a deadline for each system call instead of one for the whole
// transfer.
type patient struct{ *net.TCPConn }

func (c patient) Read(p []byte) (int, error) {
	_ = c.SetReadDeadline(time.Now().Add(wstest.Patience)) // if this fails, the read reports an error
	return c.TCPConn.Read(p)
}

func (c patient) Write(p []byte) (written int, err error) {
	for err == nil && written < len(p) {
		_ = c.SetWriteDeadline(time.Now().Add(wstest.Patience)) // if this fails, the write reports an error
		var n int
		n, err = c.TCPConn.Write(p[written:min(len(p), written+64<<10)])
		written += n
	}
	return written, err
}

func writeChopped(w io.Writer, s string, size int) error {
	if size == 0 {
		size = max(1, len(s))
	}
	for len(s) > 0 {
		n := min(size, len(s))
		if _, err := io.WriteString(w, s[:n]); err != nil {
			return err
		}
		s = s[n:]
	}
	return nil
}

// The result of a case does not depend on how its octets are split, down to single octets.
func TestConformanceHoweverCut(t *testing.T) {
	for _, masks := range []bool{true, false} {
		for _, g := range conformanceGroups {
			if g.name == "sizes" {
				continue // long cases would take too much time
			}
			for _, tt := range g.cases(peer{masks: masks}) {
				if len(tt.send) > 300 {
					continue
				}
				whole, _ := wsmanager.FrameEvents([]byte(tt.send), 0, masks, g.serverOnly, 16<<20)
				for n := 1; n < len(tt.send); n++ {
					got, _ := wsmanager.FrameEvents([]byte(tt.send), n, masks, g.serverOnly, 16<<20)
					require.Equal(t, whole, got, "%s, in pieces of %d", tt.name, n)
				}
			}
		}
	}
}
