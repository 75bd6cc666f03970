package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// load adds up the runs of loadtest in one mode.
type load struct {
	Runs        int      `json:"runs"`
	Connections uint64   `json:"connections"`
	Sent        uint64   `json:"sent"`
	Received    uint64   `json:"received"`
	Failed      []string `json:"failed,omitempty"` // output of runs with violations
}

// summary is the part of loadtest's JSON that is used here.
type summary struct {
	Connections struct{ Made uint64 }
	Messages    struct{ Sent, Received uint64 }
}

// runLoadtest runs it once. Violations are findings, not errors.
func (s *soak) runLoadtest(ctx context.Context, to *load, d time.Duration, mode string, rate int) error {
	file := filepath.Join(s.dir, mode+".json")
	args := []string{"-url", "ws://" + s.server.Addr + "/" + mode, "-mode", mode, "-quiet", "-json", file,
		"-timeout", "1m", // a busy machine answers late
		"-connections", fmt.Sprint(s.connections), "-rate", fmt.Sprint(rate), "-duration", d.String(), "-size", "512"}
	if s.compress {
		args = append(args, "-compress", "-payload", "json")
	}
	out, failed := exec.CommandContext(ctx, s.loadtest, args...).CombinedOutput()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var status *exec.ExitError
	if failed != nil && (!errors.As(failed, &status) || status.ExitCode() != 1) {
		return fmt.Errorf("loadtest: %w: %s", failed, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var sum summary
	if err := json.Unmarshal(text, &sum); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	to.Runs++
	to.Connections += sum.Connections.Made
	to.Sent += sum.Messages.Sent
	to.Received += sum.Messages.Received
	if failed != nil {
		to.Failed = append(to.Failed, fmt.Sprintf("loadtest -mode %s: %v\n%s", mode, failed, out))
	}
	return nil
}
