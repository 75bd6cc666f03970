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
	"slices"
	"strings"
	"sync"
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

// Server is a server program in a process of its own, such as examples/echo. Its first
// line of output is "serving http://host:port".
type Server struct {
	Process
	Addr string // "host:port"

	cmd  *exec.Cmd
	read chan struct{} // closed at the end of the output

	mu      sync.Mutex // guards printed
	printed []string
}

// StartServer starts a program.
func StartServer(program string, args ...string) (*Server, error) {
	cmd := exec.Command(program, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, addr, ok := strings.Cut(lines.Text(), "serving http://"); ok {
			s := &Server{Process: Process(cmd.Process.Pid), cmd: cmd, read: make(chan struct{})}
			s.Addr, _, _ = strings.Cut(addr, " ")
			go s.collect(lines)
			return s, nil
		}
	}
	return nil, fmt.Errorf("harness: %s has printed no address: %w", filepath.Base(program), errors.Join(lines.Err(), cmd.Wait()))
}

func (s *Server) collect(lines *bufio.Scanner) {
	defer close(s.read)
	for lines.Scan() {
		s.mu.Lock()
		s.printed = append(s.printed, lines.Text())
		s.mu.Unlock()
	}
}

// Printed returns the lines after the address.
func (s *Server) Printed() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.printed)
}

// Stop terminates the server and waits for it, at most for a minute.
func (s *Server) Stop() error {
	err := s.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(time.Minute, func() { _ = s.cmd.Process.Kill() }) // Wait reports it
	defer kill.Stop()
	<-s.read
	return errors.Join(err, s.cmd.Wait())
}
