//go:build linux

package docs_test

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// address matches the address of a server in a command.
var address = regexp.MustCompile(`\b(http|ws)s?://[^/' ]+`)

// fixed is the address of programs without a flag for it. The programs built here use a
// variable instead, which listenGo sets.
const (
	fixed    = `"127.0.0.1:8080"`
	listen   = "listenHere"
	listenGo = "package main\n\nimport \"os\"\n\nvar " + listen + " = os.Getenv(\"SPEAKINGTUBE_LISTEN\")\n"
)

// overlay returns a file for go build -overlay that replaces the fixed address in the
// tutorial's programs.
func overlay(t *testing.T) string {
	dir := t.TempDir()
	files := map[string]string{} // replacement by file
	put := func(file, text string) {
		file, err := filepath.Abs(file)
		require.NoError(t, err)
		files[file] = filepath.Join(dir, strings.ReplaceAll(file, string(filepath.Separator), "_"))
		require.NoError(t, os.WriteFile(files[file], []byte(text), 0o600))
	}
	mains, err := filepath.Glob(filepath.Join(root, "examples", "tutorial", "*", "main.go"))
	require.NoError(t, err)
	for _, main := range mains {
		b, err := os.ReadFile(main)
		require.NoError(t, err)
		put(main, withFreePort(t, string(b)))
		put(filepath.Join(filepath.Dir(main), "listen.go"), listenGo)
	}
	b, err := json.Marshal(map[string]any{"Replace": files})
	require.NoError(t, err)
	name := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(name, b, 0o600))
	return name
}

func withFreePort(t *testing.T, source string) string {
	require.Equal(t, 1, strings.Count(source, fixed))
	return strings.Replace(source, fixed, listen, 1)
}

// ownModule creates a module as README describes, with its first program, and builds it.
func (p *plan) ownModule(t *testing.T) string {
	dir, program := t.TempDir(), filepath.Join(p.bin, "first")
	clone, err := filepath.Abs(root)
	require.NoError(t, err)
	b, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	blocks, _ := page{"README.md", string(b)}.blocks()
	at := slices.IndexFunc(blocks, func(b block) bool { return strings.HasPrefix(b.text, "package main\n") })
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(withFreePort(t, blocks[at].text)), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "listen.go"), []byte(listenGo), 0o600))
	for _, line := range inOwnModule {
		args := splitCommandLine(strings.ReplaceAll(line, "/path/to/clone", clone))
		if line == "go run ." {
			args = []string{"go", "build", "-o", program, "."}
		}
		cmd := p.command(t, args[0], args[1:]...)
		cmd.Dir = dir
		cmd.Env = append(cmd.Env, "GOPROXY=off", "GOSUMDB=off") // the requirements of our modules are in the module cache and verified
		out, err := p.output(cmd)
		if strings.Contains(out, "GOPROXY=off") {
			missing(t, "not all modules are in the module cache: go mod download -x fetches them: "+out)
		}
		require.NoError(t, err, "%s\n%s", cmd, out)
	}
	return program
}

// serve starts a server, requests its page, runs its clients, and stops it.
func (p *plan) serve(t *testing.T, server string, clients []command) {
	var s *running
	status := http.StatusOK
	switch line, isCommand := strings.CutPrefix(server, "go run "); {
	case isCommand:
		args := splitCommandLine(line)
		status = servers[args[0]]
		s = p.start(t, p.file(args[0]), append(args[1:], "-addr", "127.0.0.1:0")...)
	case server == first:
		s = p.startAt(t, p.ownModule(t))
	default:
		s = p.startAt(t, p.file(server))
	}
	res, err := http.Get("http://" + s.addr + "/")
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, status, res.StatusCode)
	http.DefaultClient.CloseIdleConnections()

	for _, c := range clients {
		if prepare := before[c.line]; prepare != nil {
			prepare(t, s.addr)
		}
		p.runClientCommand(t, c, s.addr)
	}
	s.stop(t, strings.HasPrefix(server, "./examples/tutorial/"))
}

// before lists the preparations that a command needs.
var before = map[string]func(t *testing.T, addr string){
	"curl 'http://127.0.0.1:8080/who?room=tea'": func(t *testing.T, addr string) {
		wstest.Dial(t, "http://"+addr+"/ws?room=tea&name=Ann", nil).ExpectText("Ann is here")
		wstest.Dial(t, "http://"+addr+"/ws?room=tea&name=Bob", nil).ExpectText("Bob is here")
	},
}

// runClientCommand runs a client. Its output must be the one on the page.
func (p *plan) runClientCommand(t *testing.T, c command, addr string) {
	t.Helper()
	program, args := c.program()
	file := program
	if program == "curl" {
		if _, err := exec.LookPath("curl"); err != nil {
			missing(t, "curl is not installed (Debian: apt-get install curl)")
		}
		args = append([]string{"-sS"}, args...)
	} else {
		file = p.file(program)
	}
	args = slices.Concat(args, short[program])
	for i := range args {
		args[i] = address.ReplaceAllString(args[i], "${1}://"+addr)
	}
	cmd := p.command(t, file, args...)
	cmd.Dir = t.TempDir() // for the files that it writes
	out := withoutVaryingParts(p.succeed(t, cmd))
	for _, want := range c.want {
		if want == "…" {
			continue
		}
		_, rest, found := strings.Cut("\n"+out, "\n"+withoutVaryingParts(want)+"\n")
		require.True(t, found, "%s\nprints no %q here:\n%s", c.line, want, out)
		out = rest
	}
}

// varying matches ids and times, which differ in each run.
var varying = regexp.MustCompile(`\b[0-9a-f]{32}\b|\b[0-9.]+(ns|µs|ms|s)\b`)

func withoutVaryingParts(s string) string {
	return varying.ReplaceAllString(strings.ReplaceAll(s, "\r\n", "\n"), "*")
}

// running is a started server.
type running struct {
	addr string
	cmd  *exec.Cmd
	out  string     // file with its output
	end  chan error // one value
}

// outputSoFar returns the server's output so far.
func (s *running) outputSoFar() string {
	b, err := os.ReadFile(s.out)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// launch starts a program and waits until ready returns its address or the program has
// exited.
func (p *plan) launch(t *testing.T, file string, args, env []string, ready func(out string) string) *running {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	defer out.Close()
	s := &running{cmd: p.command(t, file, args...), out: out.Name(), end: make(chan error, 1)}
	s.cmd.Env = append(s.cmd.Env, env...)
	s.cmd.Stdout, s.cmd.Stderr = out, out
	require.NoError(t, s.cmd.Start())
	go func() { s.end <- s.cmd.Wait() }()
	for deadline := time.Now().Add(wstest.Patience); time.Now().Before(deadline); {
		if s.addr = ready(s.outputSoFar()); s.addr != "" {
			return s
		}
		select {
		case err := <-s.end:
			s.end <- err
			return s
		case <-time.After(5 * time.Millisecond):
		}
	}
	t.Fatalf("%s does not serve:\n%s", s.cmd, s.outputSoFar())
	return nil
}

// start starts a program that prints its address.
func (p *plan) start(t *testing.T, file string, args ...string) *running {
	t.Helper()
	serving := regexp.MustCompile(`serving http://(\S+)\s`)
	s := p.launch(t, file, args, nil, func(out string) string {
		if m := serving.FindStringSubmatch(out); m != nil {
			return m[1]
		}
		return ""
	})
	require.NotEmpty(t, s.addr, "%s has ended:\n%s", s.cmd, s.outputSoFar())
	return s
}

// startAt starts a program that was built to serve at the address in a variable.
func (p *plan) startAt(t *testing.T, file string) *running {
	t.Helper()
	for {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		addr := ln.Addr().String()
		require.NoError(t, ln.Close())
		s := p.launch(t, file, nil, []string{"SPEAKINGTUBE_LISTEN=" + addr}, func(string) string {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				return ""
			}
			require.NoError(t, c.Close())
			return addr
		})
		if s.addr != "" {
			return s
		}
		// Another process may have taken the port.
		require.Contains(t, s.outputSoFar(), "address already in use", "%s has ended", s.cmd)
	}
}

// stop interrupts the server, as Ctrl-C does. The server must exit with status 0, or by
// the signal if it does not handle interrupts.
func (s *running) stop(t *testing.T, byInterrupt bool) {
	t.Helper()
	require.NoError(t, s.cmd.Process.Signal(os.Interrupt))
	select {
	case err := <-s.end:
		if exit := new(exec.ExitError); byInterrupt && errors.As(err, &exit) && exit.Error() == "signal: interrupt" {
			return
		}
		require.NoError(t, err, "%s\n%s", s.cmd, s.outputSoFar())
	case <-time.After(wstest.Patience):
		t.Fatalf("%s does not end:\n%s", s.cmd, s.outputSoFar())
	}
}
