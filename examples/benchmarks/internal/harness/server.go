package harness

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Root returns the folder of the root module.
func Root(ctx context.Context) (string, error) {
	out, err := Command(ctx, "", "go", "list", "-m", "-f", "{{.Dir}}", "github.com/speakingtube/speakingtube")
	return strings.TrimSpace(string(out)), err
}

// Build builds a package, given by its path from the root module's folder, into dir and
// returns the path of the program. It builds with go.work in effect.
func Build(ctx context.Context, dir, pkg string) (string, error) {
	root, err := Root(ctx)
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, filepath.Base(pkg))
	_, err = Command(ctx, root, "go", "build", "-o", program, "./"+pkg)
	return program, err
}

// Command runs a command in a folder and returns its output. The error contains the text
// that it has printed to the standard error.
func Command(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%s: %w: %s", filepath.Base(name), err, bytes.TrimSpace(errs.Bytes()))
	}
	return out, nil
}

// Server is a server in a process of its own. It prints "serving http://host:port" when it
// accepts connections.
type Server struct {
	Process
	Addr string // "host:port"

	cmd     *exec.Cmd
	ended   chan struct{} // closed at the end of the output
	printed []string
}

// StartServer starts a server program, such as examples/echo.
func StartServer(program string, args ...string) (*Server, error) {
	return start(exec.Command(program, args...))
}

func start(cmd *exec.Cmd) (*Server, error) {
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if _, addr, ok := strings.Cut(lines.Text(), "serving http://"); ok {
			s := &Server{Process: Process(cmd.Process.Pid), cmd: cmd, ended: make(chan struct{})}
			s.Addr, _, _ = strings.Cut(addr, " ")
			go func() {
				defer close(s.ended)
				for lines.Scan() {
					s.printed = append(s.printed, lines.Text())
				}
			}()
			return s, nil
		}
	}
	return nil, fmt.Errorf("harness: %s has printed no address: %w", filepath.Base(cmd.Path), errors.Join(lines.Err(), cmd.Wait()))
}

// Output waits for the end of the output and returns the lines after the address.
func (s *Server) Output() []string {
	<-s.ended
	return s.printed
}

// Terminate sends SIGTERM.
func (s *Server) Terminate() error {
	err := s.cmd.Process.Signal(syscall.SIGTERM)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Stop terminates the server and waits for it, at most for a minute.
func (s *Server) Stop() error {
	err := s.Terminate()
	kill := time.AfterFunc(time.Minute, func() { _ = s.cmd.Process.Kill() }) // Wait reports it
	defer kill.Stop()
	<-s.ended
	return errors.Join(err, s.cmd.Wait())
}
