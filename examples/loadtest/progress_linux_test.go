package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/speakingtube/speakingtube/examples/internal/exampletest"
)

// terminal opens a pseudo terminal with a number of columns.
func terminal(t *testing.T, columns uint16) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		exampletest.Missing(t, fmt.Sprint("no pseudo terminals on this system: ", err))
	}
	t.Cleanup(func() { _ = ours.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetWinsize(int(ours.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}))
	return ours, theirs
}

// A terminal shows one line of progress, which the summary replaces.
func TestProgressOnATerminal(t *testing.T) {
	s := serve(t, serverOptions{})
	ours, theirs := terminal(t, 60)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var out bytes.Buffer
	var reading sync.WaitGroup
	reading.Go(func() {
		p := make([]byte, 4096)
		for {
			n, err := ours.Read(p) // a closed terminal returns EIO
			out.Write(p[:n])
			if strings.Contains(out.String(), " received, ") {
				interrupt()
			}
			if err != nil {
				return
			}
		}
	})
	status := run(ctx, strings.Fields("-connections 5 -duration 1h -url "+s.url), theirs, t.Output())
	require.NoError(t, theirs.Close())
	reading.Wait()
	require.Equal(t, statusOK, status)
	progress, summary, ok := strings.Cut(out.String(), "\r\x1b[K"+s.url+"\r\n")
	require.True(t, ok, out.String())
	require.Contains(t, summary, "Result        OK\r\n")
	for _, line := range strings.Split(progress, "\r\x1b[K") {
		require.Less(t, len([]rune(line)), 60)
		require.NotContains(t, line, "\n")
	}

	// There is no progress line with -quiet or -json -.
	for _, args := range []string{"-quiet", "-json -"} {
		ours, theirs = terminal(t, 60)
		out.Reset()
		reading.Go(func() { _, _ = io.Copy(&out, ours) })
		status = run(t.Context(), strings.Fields(args+" -connections 5 -rate 100 -duration 500ms -url "+s.url), theirs, t.Output())
		require.NoError(t, theirs.Close())
		reading.Wait()
		require.Equal(t, statusOK, status)
		require.NotContains(t, out.String(), "\x1b")
	}
}
