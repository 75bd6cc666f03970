package harness

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// childEnv makes a program that is started again a child.
const childEnv = "SPEAKINGTUBE_BENCHMARK_CHILD"

// RunChild runs child and ends the process if it was started by [StartChild];
// otherwise it returns at once. Call it first in main and in TestMain. What child
// writes to the Encoder, its parent reads by [Child.Read].
func RunChild(child func(args []string, out *json.Encoder) error) {
	if os.Getenv(childEnv) == "" {
		return
	}
	if err := child(os.Args[1:], json.NewEncoder(os.Stdout)); err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Child is this program, running once more as a server: clients and server have
// memory, descriptors and CPU time of their own.
type Child struct {
	cmd *exec.Cmd
	out *bufio.Reader
}

// StartChild starts the program's child with arguments.
func StartChild(args ...string) (*Child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &Child{cmd: cmd, out: bufio.NewReader(out)}, nil
}

// Read reads the next of what the child writes.
func (c *Child) Read(v any) error {
	line, err := c.out.ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		return errors.New("harness: the child says nothing more")
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(line, v)
}

// Terminate asks the child to end.
func (c *Child) Terminate() error { return c.cmd.Process.Signal(syscall.SIGTERM) }

// Wait waits until the child has ended; it returns an error if it failed. All that
// is wanted of its output must have been read.
func (c *Child) Wait() error { return c.cmd.Wait() }

// Stop terminates the child and waits, not for ever.
func (c *Child) Stop() error {
	err := c.Terminate()
	kill := time.AfterFunc(time.Minute, func() { _ = c.cmd.Process.Kill() }) // Wait tells
	defer kill.Stop()
	return errors.Join(err, c.Wait())
}

// RSS returns the child's resident memory in bytes, 0 where there is no /proc.
func (c *Child) RSS() int64 { return RSS(c.cmd.Process.Pid) }

// CPU returns the processor time that the child has used, 0 where there is no
// /proc.
func (c *Child) CPU() time.Duration { return CPU(c.cmd.Process.Pid) }
