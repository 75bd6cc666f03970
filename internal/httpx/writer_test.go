package httpx_test

import (
	"bufio"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

// plain is a writer with no other methods.
type plain struct{ http.ResponseWriter }

// wrapper tells what it wraps.
type wrapper struct{ http.ResponseWriter }

func (w wrapper) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// hijacker can be hijacked.
type hijacker struct{ http.ResponseWriter }

func (hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, http.ErrNotSupported }

// flushError has only the newer of the two methods.
type flushError struct{ http.ResponseWriter }

func (flushError) FlushError() error { return nil }

// endless wraps itself.
type endless struct{ http.ResponseWriter }

func (w *endless) Unwrap() http.ResponseWriter { return w }

func TestWalks(t *testing.T) {
	own := plain{httptest.NewRecorder()}
	loop := &endless{own}
	for name, tt := range map[string]struct {
		w              http.ResponseWriter
		below          http.ResponseWriter
		innermost      http.ResponseWriter
		hijack, flush  int
		itself, flushs bool
	}{
		"one writer":           {own, nil, own, -1, -1, false, false},
		"wrapped":              {wrapper{wrapper{own}}, wrapper{own}, own, -1, -1, false, false},
		"hijacker":             {hijacker{own}, nil, hijacker{own}, 0, -1, true, false},
		"hijacker below":       {wrapper{wrapper{hijacker{own}}}, wrapper{hijacker{own}}, hijacker{own}, 2, -1, false, false},
		"flusher below":        {wrapper{flushError{own}}, flushError{own}, flushError{own}, -1, 1, false, false},
		"a recorder":           {own.ResponseWriter, nil, own.ResponseWriter, -1, 0, false, true},
		"without Unwrap above": {plain{wrapper{hijacker{own}}}, nil, plain{wrapper{hijacker{own}}}, -1, -1, false, false},
		"nil below":            {wrapper{nil}, nil, wrapper{nil}, -1, -1, false, false},
		"endless":              {loop, loop, loop, -1, -1, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tt.below, httpx.Unwrap(tt.w))
			require.Equal(t, tt.innermost, httpx.Innermost(tt.w))
			require.Equal(t, tt.hijack, httpx.Depth(tt.w, httpx.IsHijacker))
			require.Equal(t, tt.flush, httpx.Depth(tt.w, httpx.IsFlusher))
			require.Equal(t, tt.itself, httpx.IsHijacker(tt.w))
			require.Equal(t, tt.flushs, httpx.IsFlusher(tt.w))
		})
	}
	require.Equal(t, -1, httpx.Depth(nil, httpx.IsHijacker))
	require.Zero(t, testing.AllocsPerRun(10, func() {
		_ = httpx.Innermost(loop)
		_ = httpx.Depth(loop, httpx.IsHijacker)
	}))
}
