package pipeline_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/pipeline"
)

// ignoring has handlers that answer without their body.
func ignoring() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/nothing", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/short", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "answer") })
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 100<<10)) })
	mux.HandleFunc("/copied", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, strings.NewReader(strings.Repeat("x", 100<<10)))
	})
	mux.HandleFunc("/refused", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusUnauthorized) })
	mux.HandleFunc("/closes", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		_, _ = io.WriteString(w, "answer")
	})
	mux.HandleFunc("/body-closed", func(w http.ResponseWriter, r *http.Request) {
		_ = r.Body.Close()
		_, _ = io.WriteString(w, "answer")
	})
	mux.HandleFunc("/three", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, make([]byte, 3))
		_, _ = io.WriteString(w, "answer")
	})
	mux.HandleFunc("/duplex", func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.WriteString(w, "answer")
	})
	return mux
}

// An answer does not wait for a body that does not come, and the connection is closed after it.
func TestUnreadBodyThatDoesNotCome(t *testing.T) {
	srv := serveTest(t, pipeline.MinBodyRate(pipeline.BodyRate{Grace: 200 * time.Millisecond})(ignoring()), false)
	heads := map[string]string{
		"announced":      "Content-Length: 1000\r\n\r\n",
		"begun":          "Content-Length: 1000\r\n\r\nabc",
		"a lot":          "Content-Length: 2000000000\r\n\r\nabc",
		"chunked":        "Transfer-Encoding: chunked\r\n\r\n",
		"chunked, begun": "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"malformed":      "Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
		"closing":        "Connection: close\r\nContent-Length: 1000\r\n\r\n",
		"closing, chunk": "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"expecting":      "Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n",
	}
	for name, head := range heads {
		for _, target := range []string{"/nothing", "/short", "/long", "/copied", "/refused", "/closes", "/body-closed", "/duplex", "/three"} {
			if target == "/three" && !strings.Contains(name, "begun") {
				continue // it would wait for them
			}
			t.Run(name+target, func(t *testing.T) {
				t.Parallel()
				d := open(t, addrOf(srv), "POST "+target+" HTTP/1.1\r\nHost: x\r\n"+head)
				res, body := d.answer(t)
				require.NotEqual(t, http.StatusContinue, res.StatusCode)
				require.NotEqual(t, http.StatusRequestTimeout, res.StatusCode, "the body was not read")
				if target == "/short" {
					require.Equal(t, "answer", body)
				}
				d.requireEnd(t)
			})
		}
	}
}

// A body that comes is read, and the connection serves the next request.
func TestUnreadBodyThatComes(t *testing.T) {
	srv := serveTest(t, pipeline.MinBodyRate(pipeline.BodyRate{})(ignoring()), false)
	big := strings.Repeat("x", 200<<10)
	for name, body := range map[string]string{
		"small":   "Content-Length: 1000\r\n\r\n" + strings.Repeat("x", 1000),
		"big":     fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(big), big),
		"chunked": "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"empty":   "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		for _, target := range []string{"/nothing", "/short", "/long", "/copied", "/refused", "/body-closed", "/three", "/duplex"} {
			t.Run(name+target, func(t *testing.T) {
				request := "POST " + target + " HTTP/1.1\r\nHost: x\r\n" + body
				next := "GET /short HTTP/1.1\r\nHost: x\r\n\r\n"
				d := open(t, addrOf(srv), request+next) // pipelined
				res, _ := d.answer(t)
				require.False(t, res.Close)
				res, text := d.answer(t)
				require.Equal(t, "answer", text)
				require.False(t, res.Close)
				_, err := io.WriteString(d.Conn, next)
				require.NoError(t, err)
				_, text = d.answer(t)
				require.Equal(t, "answer", text)
			})
		}
	}
}

// The first part of an answer goes out before the body comes, and its handler goes on: its
// context does not end.
func TestUnreadBodyAndAStream(t *testing.T) {
	ended := make(chan error)
	proceed := make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first\n")
		_ = http.NewResponseController(w).Flush()
		<-proceed
		_, _ = io.WriteString(w, "second\n")
		ended <- r.Context().Err()
	})
	srv := serveTest(t, pipeline.MinBodyRate(impatient)(h), false)
	d := open(t, addrOf(srv), "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
	res, err := http.ReadResponse(d.Reader, nil)
	require.NoError(t, err)
	require.True(t, res.Close)
	br := bufio.NewReader(res.Body)
	line, err := br.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "first\n", line)
	close(proceed)
	require.NoError(t, <-ended)
	line, err = br.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "second\n", line)
	_, err = br.ReadByte()
	require.ErrorIs(t, err, io.EOF)
	d.requireEnd(t)
}

// A client that keeps sending is cut off after a bounded number of bytes, and has an answer.
func TestUnreadBodyThatDoesNotEnd(t *testing.T) {
	srv := serveTest(t, pipeline.MinBodyRate(pipeline.BodyRate{})(ignoring()), false)
	for name, head := range map[string]string{"chunked": "Transfer-Encoding: chunked\r\n\r\n", "announced": "Content-Length: 100000000000\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			d := open(t, addrOf(srv), "POST /short HTTP/1.1\r\nHost: x\r\n"+head)
			sent := make(chan error, 1)
			go func() {
				chunk := "1000\r\n" + strings.Repeat("x", 0x1000) + "\r\n"
				for {
					if _, err := io.WriteString(d.Conn, chunk); err != nil {
						sent <- err
						return
					}
				}
			}()
			res, body := d.answer(t)
			require.Equal(t, "answer", body)
			require.True(t, res.Close)
			require.Error(t, <-sent)
		})
	}
}
