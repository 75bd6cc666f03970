package pipeline_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// dialogue is a connection of a test, which speaks HTTP/1 by hand.
type dialogue struct {
	net.Conn
	*bufio.Reader
}

func (d dialogue) Read(p []byte) (int, error) { return d.Reader.Read(p) }

// dial connects and sends.
func dial(t *testing.T, addr, request string) (dialogue, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return dialogue{}, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(60 * time.Second)); err != nil {
		return dialogue{}, err
	}
	_, err = io.WriteString(conn, request)
	return dialogue{conn, bufio.NewReader(conn)}, err
}

// open connects and sends.
func open(t *testing.T, addr, request string) dialogue {
	t.Helper()
	d, err := dial(t, addr, request)
	require.NoError(t, err)
	return d
}

// next reads the next answer.
func (d dialogue) next() (res *http.Response, body string, err error) {
	res, err = http.ReadResponse(d.Reader, nil)
	if err != nil {
		return nil, "", err
	}
	text, err := io.ReadAll(res.Body)
	return res, string(text), err
}

// answer reads the next answer.
func (d dialogue) answer(t *testing.T) (*http.Response, string) {
	t.Helper()
	res, body, err := d.next()
	require.NoError(t, err)
	return res, body
}

// end waits until the server has closed the connection.
func (d dialogue) end() error {
	rest, err := io.ReadAll(d)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("the connection stays open")
	}
	if len(rest) > 0 {
		return fmt.Errorf("%q follows the answer", rest)
	}
	return nil
}

// requireEnd waits until the server has closed the connection.
func (d dialogue) requireEnd(t *testing.T) {
	t.Helper()
	require.NoError(t, d.end())
}

// atOnce runs tests that mostly wait at the same time, more of them than t.Parallel does.
func atOnce(t *testing.T, tests map[string]func() error) {
	t.Helper()
	results := map[string]chan error{}
	for name, test := range tests {
		result := make(chan error, 1)
		results[name] = result
		go func() { result <- test() }()
	}
	for name, result := range results {
		t.Run(name, func(t *testing.T) { require.NoError(t, <-result) })
	}
}
