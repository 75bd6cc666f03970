package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// asLoadtest is a variable that turns the test's binary into the program.
const asLoadtest = "RUN_AS_LOADTEST"

func TestMain(m *testing.M) {
	if os.Getenv(asLoadtest) != "" {
		main()
		os.Exit(0)
	}
	wstest.Main(m)
}

// program is loadtest in a process of its own.
type program struct {
	cmd         *exec.Cmd
	out, errors bytes.Buffer
}

func start(t *testing.T, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*wstest.Patience)
	t.Cleanup(cancel)
	p := &program{cmd: exec.CommandContext(ctx, os.Args[0], args...)}
	p.cmd.Env = append(os.Environ(), asLoadtest+"=1")
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.errors
	require.NoError(t, p.cmd.Start())
	return p
}

// status waits for the end and returns the exit status. out and errors may be read after it.
func (p *program) status() int {
	_ = p.cmd.Wait() // its error repeats the exit status
	return p.cmd.ProcessState.ExitCode()
}

func TestProgram(t *testing.T) {
	s := serve(t, serverOptions{})
	file := filepath.Join(t.TempDir(), "summary.json")
	p := start(t, "-url", s.url+"/?token=secret", "-connections", "10", "-rate", "1000", "-duration", "100ms", "-json", file)
	require.Equal(t, statusOK, p.status(), "%s%s", &p.out, &p.errors)
	require.Empty(t, p.errors.String())
	out := p.out.String()
	require.True(t, strings.HasPrefix(out, s.url+"/\n"), out)
	require.NotContains(t, out, "secret")
	require.Contains(t, out, "each arrived once, unchanged and in order")
	require.True(t, strings.HasSuffix(out, "\nResult        OK\n"), out)
	require.NotContains(t, out, "\r", "no progress line without a terminal")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var r report
	require.NoError(t, json.Unmarshal(text, &r))
	require.True(t, r.OK)
	require.EqualValues(t, 100, r.Messages.Received)

	p = start(t, "-url", s.url, "-rate", "100", "-duration", "10ms", "-quiet")
	require.Equal(t, statusOK, p.status())
	require.Empty(t, p.out.String()+p.errors.String())

	p = start(t, "-url", s.url, "-rate", "100", "-duration", "10ms", "-json", "-")
	require.Equal(t, statusOK, p.status())
	require.NoError(t, json.Unmarshal(p.out.Bytes(), &r))
	require.True(t, r.OK)
}

func TestProgramFindsViolations(t *testing.T) {
	s := serve(t, serverOptions{onMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
		return c.SendContext(c.Context(), wsmanager.Binary(append(m.Payload, 0)))
	}})
	p := start(t, "-url", s.url, "-connections", "2", "-rate", "100", "-duration", "100ms", "-timeout", "1s", "-quiet")
	require.Equal(t, statusError, p.status())
	require.Contains(t, p.out.String(), "10 corrupted")
	require.Contains(t, p.out.String(), "Result        FAILED")
}

// The program prints the reason of a failed start in one line.
func TestProgramFails(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	unused := "ws://" + ln.Addr().String()
	require.NoError(t, ln.Close())
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "who are you?", http.StatusUnauthorized)
	}))
	defer refusing.Close()
	for name, c := range map[string]struct {
		args   []string
		want   string
		status int
	}{
		"no server":  {[]string{"-url", unused}, "loadtest: the first connection to " + unused + " failed: connection refused (is the server running there?)\n", statusError},
		"refused":    {[]string{"-url", refusing.URL}, `failed: wsmanager: the server refused with 401 Unauthorized: "who are you?"`, statusError},
		"no URL":     {nil, "loadtest: -url is missing", statusUsage},
		"a bad URL":  {[]string{"-url", "example.com"}, "must be ws or wss", statusUsage},
		"a bad flag": {[]string{"-mode", "ping"}, "it must be echo or broadcast", statusUsage},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, c.args...)
			require.Equal(t, c.status, p.status())
			require.Contains(t, p.errors.String(), c.want)
			require.Empty(t, p.out.String())
		})
	}
}

// Ctrl-C ends a run early, with a summary.
func TestProgramIsInterrupted(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no signals")
	}
	s := serve(t, serverOptions{})
	p := start(t, "-url", s.url, "-connections", "10", "-duration", "1h")
	require.Eventually(t, func() bool { return s.m.Stats().MessagesIn > 1000 }, wstest.Patience, time.Millisecond)
	require.NoError(t, p.cmd.Process.Signal(os.Interrupt))
	require.Equal(t, statusOK, p.status(), "%s%s", &p.out, &p.errors)
	require.Contains(t, p.out.String(), "Interrupted   the figures are those until then")
	require.Contains(t, p.out.String(), "each arrived once, unchanged and in order")
}
