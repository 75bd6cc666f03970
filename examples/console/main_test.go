package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/internal/exampletest"
	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// asConsole is set in the environment to run the test's binary as the program.
const asConsole = "RUN_AS_CONSOLE"

func TestMain(m *testing.M) {
	if os.Getenv(asConsole) != "" {
		main()
		os.Exit(0)
	}
	wstest.Main(m)
}

// program is the program, running in its own process.
type program struct {
	stdin          io.WriteCloser
	stdout, stderr *exampletest.Output
	cmd            *exec.Cmd
}

func start(t *testing.T, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*wstest.Patience)
	t.Cleanup(cancel)
	p := &program{stdout: &exampletest.Output{}, stderr: &exampletest.Output{}, cmd: exec.CommandContext(ctx, os.Args[0], args...)}
	p.cmd.Env = append(os.Environ(), asConsole+"=1")
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	var err error
	p.stdin, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	return p
}

func (p *program) typed(t *testing.T, lines ...string) {
	t.Helper()
	_, err := io.WriteString(p.stdin, strings.Join(lines, "\n")+"\n")
	require.NoError(t, err)
}

// prints waits until the program has printed want.
func (p *program) prints(t *testing.T, want string) {
	t.Helper()
	require.Eventually(t, func() bool { return p.stdout.String() == want }, wstest.Patience, time.Millisecond,
		"want %q, stdout %q, stderr %q", want, p.stdout, p.stderr)
}

// status waits for the end and returns the exit status.
func (p *program) status() int {
	_ = p.cmd.Wait() // the exit status has the result
	return p.cmd.ProcessState.ExitCode()
}

// server is one that can stop and start again at its address.
type server struct {
	t      *testing.T
	addr   string
	m      *wsmanager.Manager
	srv    *http.Server
	ln     *listener
	mu     sync.Mutex // guards the fields below
	got    []string
	closed []error
}

func newServer(t *testing.T) *server {
	s := &server{t: t, addr: "127.0.0.1:0"}
	s.up()
	t.Cleanup(s.down)
	return s
}

func (s *server) up() {
	var ln net.Listener
	require.Eventually(s.t, func() (ok bool) { // another process may have the port for a moment
		var err error
		ln, err = net.Listen("tcp", s.addr)
		return err == nil
	}, wstest.Patience, 10*time.Millisecond)
	s.addr = ln.Addr().String()
	s.m = wsmanager.MustNew(wsmanager.Callbacks{
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			s.mu.Lock()
			s.got = append(s.got, string(m.Payload))
			s.mu.Unlock()
			return c.Send(m)
		},
		OnClose: func(_ *wsmanager.Conn, err error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.closed = append(s.closed, err)
		},
	}, wsmanager.Options{Driver: wsmanager.DriverGoroutine}) // so that kill finds the socket
	s.srv = &http.Server{Handler: s.m, ReadHeaderTimeout: wstest.Patience}
	s.ln = &listener{Listener: ln}
	go func() { _ = s.srv.Serve(s.ln) }()
}

// listener records the connections that it has accepted.
type listener struct {
	net.Listener
	mu    sync.Mutex // guards the fields below
	conns []*net.TCPConn
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.conns = append(l.conns, c.(*net.TCPConn))
	}
	return c, err
}

// kill ends the server as kill -9 does: without a close frame, and with a reset for unread
// bytes.
func (s *server) kill() {
	s.ln.mu.Lock()
	for _, c := range s.ln.conns {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
	s.ln.mu.Unlock()
	s.down()
}

func (s *server) down() {
	ctx, cancel := context.WithTimeout(context.Background(), wstest.Patience)
	defer cancel()
	_ = s.srv.Close()
	require.NoError(s.t, s.m.Shutdown(ctx))
}

func (s *server) url() string { return "ws://" + s.addr + "/" }

func (s *server) received() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.got...)
}

func TestConsole(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *program){
		"an empty line": func(t *testing.T, p *program) { p.typed(t, "") },
		"the end":       func(t *testing.T, p *program) { require.NoError(t, p.stdin.Close()) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			p := start(t, "-url", s.url())
			p.prints(t, "Connected!\n")
			p.typed(t, "hello", "each end gets the other's messages")
			p.prints(t, "Connected!\nhello\neach end gets the other's messages\n")
			end(t, p)
			require.Equal(t, 0, p.status())
			require.Empty(t, p.stderr.String())
			require.Eventually(t, func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return len(s.closed) == 1 && s.closed[0] == nil && s.m.Stats().Closed[1000] == 1
			}, wstest.Patience, time.Millisecond)
		})
	}
}

// Input that arrives before the connection is open, and ends, is sent.
func TestConsolePipe(t *testing.T) {
	s := newServer(t)
	p := start(t, "-url", s.url())
	var want []string
	for i := range 2000 {
		want = append(want, fmt.Sprint("line ", i))
	}
	p.typed(t, want...)
	require.NoError(t, p.stdin.Close())
	require.Equal(t, 0, p.status())
	require.Equal(t, want, s.received())
}

func TestConsoleFails(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	unreachable := "ws://" + ln.Addr().String()
	require.NoError(t, ln.Close())
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not authenticated", http.StatusUnauthorized)
	}))
	defer refusing.Close()
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no server":               {[]string{"-url", unreachable}, "connection refused"},
		"no server for long":      {[]string{"-url", unreachable, "-reconnect", "-give-up", "1ms"}, "gave up"},
		"refused":                 {[]string{"-url", refusing.URL}, `the server refused with 401 Unauthorized: "not authenticated"`},
		"refused, with reconnect": {[]string{"-url", refusing.URL, "-reconnect"}, `the server refused with 401 Unauthorized: "not authenticated"`},
		"no URL":                  {[]string{"-url", "example.com"}, "must be ws or wss"},
		"no flag":                 {[]string{"-port", "1"}, "not defined: -port"},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, c.args...)
			require.Equal(t, 1, p.status())
			require.Contains(t, p.stderr.String(), c.want)
			require.Empty(t, p.stdout.String())
		})
	}
}

// A connection that breaks ends the program, unless it may reconnect.
func TestConsoleBroken(t *testing.T) {
	s := newServer(t)
	p := start(t, "-url", s.url())
	p.prints(t, "Connected!\n")
	s.down()
	require.Equal(t, 1, p.status())
	require.Contains(t, p.stderr.String(), "console: wsmanager: closed by the peer with 1001")
	s.up()
}

// A graceful close by the server is not a failure.
func TestConsoleServerCloses(t *testing.T) {
	s := newServer(t)
	p := start(t, "-url", s.url(), "-reconnect")
	p.prints(t, "Connected!\n")
	for c := range s.m.All().Local() {
		require.NoError(t, c.Close(wsmanager.StatusNormalClosure, ""))
	}
	require.Equal(t, 0, p.status())
	require.Equal(t, "The server has closed the connection.\n", p.stderr.String())
}

// A server that is killed sends no close frame.
func TestConsoleServerKilled(t *testing.T) {
	s := newServer(t)
	p := start(t, "-url", s.url())
	p.prints(t, "Connected!\n")
	p.typed(t, "one")
	p.prints(t, "Connected!\none\n")
	s.kill()
	require.Equal(t, 1, p.status())
	require.Contains(t, p.stderr.String(), "console: wsmanager: closed by the peer with 1006: ")
	s.up()
}

// A graceful close by the server while lines wait is a failure.
func TestOrderly(t *testing.T) {
	early := "the server has closed the connection before all was sent"
	broken := errors.New("reading the input: broken")
	for name, tt := range map[string]struct {
		ended  bool
		input  error
		unsent int
		err    string
		stderr string
	}{
		"the input ended":                        {ended: true},
		"the input broke":                        {ended: true, input: broken, err: broken.Error()},
		"the server ended it":                    {stderr: "The server has closed the connection.\n"},
		"the server ended it, lines wait":        {unsent: 3, err: early},
		"the server ended it, a line has failed": {ended: true, input: wsmanager.ErrClosed, err: early},
	} {
		t.Run(name, func(t *testing.T) {
			var stderr exampletest.Output
			err := orderly(tt.ended, tt.input, tt.unsent, &stderr)
			if tt.err == "" {
				require.NoError(t, err)
			} else {
				require.EqualError(t, err, tt.err)
			}
			require.Equal(t, tt.stderr, stderr.String())
		})
	}
}

// A line that is not valid UTF-8 is not sent, and has no other effect. With -wait, the
// answer to the last line is printed.
func TestConsoleWaits(t *testing.T) {
	s := newServer(t)
	p := start(t, "-url", s.url(), "-wait", "1h")
	p.typed(t, "a\xff", "b")
	require.NoError(t, p.stdin.Close())
	p.prints(t, "Connected!\nb\n")
	require.Equal(t, "Not sent: the line is not valid UTF-8.\n", p.stderr.String())
	require.NoError(t, p.cmd.Process.Signal(os.Interrupt))
	require.Equal(t, 0, p.status())
	require.Equal(t, []string{"b"}, s.received())
}

// Lines typed while the server is down wait, and arrive once and in order, whether the
// server was shut down gracefully or killed.
func TestConsoleSurvivesARestart(t *testing.T) {
	for name, end := range map[string]func(*server){"shut down": (*server).down, "killed": (*server).kill} {
		t.Run(name, func(t *testing.T) { survivesARestart(t, end) })
	}
}

func survivesARestart(t *testing.T, end func(*server)) {
	s := newServer(t)
	p := start(t, "-url", s.url(), "-reconnect")
	p.prints(t, "Connected!\n")
	p.typed(t, "before")
	p.prints(t, "Connected!\nbefore\n")
	end(s)
	require.Eventually(t, func() bool { return strings.Contains(p.stderr.String(), "Next attempt in ") }, wstest.Patience, time.Millisecond)
	want := []string{"before"}
	for i := range 200 {
		line := fmt.Sprint("while it was away ", i)
		want = append(want, line)
		p.typed(t, line)
	}
	s.up()
	p.prints(t, "Connected!\nbefore\nConnected!\n"+strings.Join(want[1:], "\n")+"\n")
	p.typed(t, "after", "")
	require.Equal(t, 0, p.status())
	require.Equal(t, append(want, "after"), s.received())
}
