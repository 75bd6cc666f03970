package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// Errors that differ only in addresses are of one kind.
func TestDialKinds(t *testing.T) {
	op := func(err error) error {
		return fmt.Errorf("wsmanager: dialling ws://a: %w", &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{Port: 5}, Err: err})
	}
	for want, err := range map[string]error{
		"connection refused": op(os.NewSyscallError("connect", syscall.ECONNREFUSED)),
		"no free local port: one address has some 28,000 for connections to one server": op(syscall.EADDRNOTAVAIL),
		"too many open files (see ulimit -n)":                                           op(os.NewSyscallError("socket", syscall.EMFILE)),
		"handshake refused with 503 Service Unavailable":                                op(&wsmanager.RefusedError{StatusCode: 503}),
		"handshake refused by the proxy with 407 Proxy Authentication Required":         op(&wsmanager.RefusedError{StatusCode: 407, Proxy: true}),
		"the server's answer is not a WebSocket handshake":                              op(wsmanager.ErrHandshake),
		"host not found: nowhere":                                                       op(&net.DNSError{Name: "nowhere", IsNotFound: true}),
		"no answer in time":                                                             op(context.DeadlineExceeded),
		"the server closed it without a close frame":                                    op(io.ErrUnexpectedEOF),
		"connection reset by the server":                                                op(syscall.ECONNRESET),
		"something else":                                                                op(errors.New("something else")),
	} {
		require.Equal(t, want, dialKind(err))
	}
}

func TestCloseKinds(t *testing.T) {
	for want, err := range map[string]error{
		"the server closed the connection (1000, 1001 or no code)":               nil,
		`closed by the server with 1013 ("slow")`:                                &wsmanager.CloseError{Code: 1013, Reason: "slow", Remote: true},
		"closed by the server with 1011":                                         &wsmanager.CloseError{Code: 1011, Remote: true},
		"the connection broke: connection reset by the server":                   &wsmanager.CloseError{Code: 1006, Remote: true, Err: &net.OpError{Err: syscall.ECONNRESET}},
		"the connection broke: the server closed it without a close frame":       &wsmanager.CloseError{Code: 1006, Remote: true, Err: io.ErrUnexpectedEOF},
		"the connection broke: unknown reason":                                   &wsmanager.CloseError{Code: 1006},
		"closed by this side with 1001: wsmanager: nothing was received in time": &wsmanager.CloseError{Code: 1001, Err: wsmanager.ErrIdleTimeout},
		"another": errors.New("another"),
	} {
		require.Equal(t, want, closeKind(err))
	}
}

func TestTally(t *testing.T) {
	var y tally
	require.Empty(t, y.list())
	for _, kind := range []string{"b", "c", "a", "c"} {
		y.add(kind)
	}
	require.Equal(t, []kindCount{{"c", 2}, {"a", 1}, {"b", 1}}, y.list())
	require.Equal(t, 4, y.count())
}
