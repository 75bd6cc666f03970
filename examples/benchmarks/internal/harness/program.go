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
	"sync"
	"syscall"
	"time"
)

// Build builds a program of the root module's examples into a folder and returns its
// path. It builds in the folder of the root module: this module has not all that they
// need.
func Build(ctx context.Context, dir, name string) (string, error) {
	root, err := Root(ctx)
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, name)
	_, err = Command(ctx, "go", "build", "-C", root, "-o", program, "./examples/"+name)
	return program, err
}

// Root returns the folder of the root module.
func Root(ctx context.Context) (string, error) {
	out, err := Command(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/speakingtube/speakingtube")
	return strings.TrimSpace(string(out)), err
}

// Command runs a command and returns what it prints; its error has what it prints to
// the standard error.
func Command(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%s: %w: %s", filepath.Base(name), err, bytes.TrimSpace(errs.Bytes()))
	}
	return out, nil
}

// Server is a program that serves, as a process of its own: one that prints
// "serving http://host:port" first, as the examples do.
type Server struct {
	Addr string // "host:port"

	cmd  *exec.Cmd
	read chan struct{} // closed when all that it prints was read

	mu      sync.Mutex // guards what follows
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
			s := &Server{cmd: cmd, read: make(chan struct{})}
			s.Addr, _, _ = strings.Cut(addr, " ")
			go s.readAll(lines)
			return s, nil
		}
	}
	return nil, fmt.Errorf("harness: %s ends without an address: %w", filepath.Base(program), errors.Join(lines.Err(), cmd.Wait()))
}

func (s *Server) readAll(lines *bufio.Scanner) {
	defer close(s.read)
	for lines.Scan() {
		s.mu.Lock()
		s.printed = append(s.printed, lines.Text())
		s.mu.Unlock()
	}
}

// Printed returns the lines that the program has printed since its address.
func (s *Server) Printed() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.printed...)
}

// RSS returns its resident memory in bytes, 0 where there is no /proc.
func (s *Server) RSS() int64 { return RSS(s.cmd.Process.Pid) }

// CPU returns the processor time that it has used, 0 where there is no /proc.
func (s *Server) CPU() time.Duration { return CPU(s.cmd.Process.Pid) }

// Descriptors counts its open files, -1 where there is no /proc.
func (s *Server) Descriptors() int { return DescriptorsOf(s.cmd.Process.Pid) }

// Stop terminates it and waits, not for ever; an error tells how it failed.
func (s *Server) Stop() error {
	err := s.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(time.Minute, func() { _ = s.cmd.Process.Kill() }) // Wait tells
	defer kill.Stop()
	<-s.read
	return errors.Join(err, s.cmd.Wait())
}
