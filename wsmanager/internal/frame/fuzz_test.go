package frame_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame/frametest"
)

// checkHeader compares parseHeader with gobwas.
func checkHeader(t *testing.T, p []byte) {
	h, n, err := frame.ParseHeader(p, true)
	want, wantErr := ws.ReadHeader(bytes.NewReader(p))
	switch {
	case err != nil:
		// parseHeader is stricter about lengths only.
		if !errors.Is(err, frame.ErrLengthNotMinimal) && wantErr == nil {
			t.Fatalf("Reader fails with %v, gobwas reads %+v", err, want)
		}
	case n == 0:
		if wantErr == nil {
			t.Fatalf("Reader wants more than gobwas: %+v", want)
		}
		if !errors.Is(wantErr, io.EOF) && !errors.Is(wantErr, io.ErrUnexpectedEOF) {
			t.Fatalf("Reader wants more, gobwas fails with %v", wantErr)
		}
	default:
		require.NoError(t, wantErr)
		require.Equal(t, want, h)
		require.Equal(t, ws.HeaderSize(h), n)
	}
}

// gobwas reads a stream with gobwas's reader. It returns the events up to the first error,
// in the words of frametest, and whether that is a protocol error; an incomplete stream is
// not one.
func gobwas(stream []byte, limit int) (got []string, failed bool) {
	src := bytes.NewReader(stream)
	var stop error // a control frame ended it
	control := func(h ws.Header, r io.Reader) error {
		p, err := io.ReadAll(r)
		if err == nil && len(p) < int(h.Length) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		switch h.OpCode {
		case ws.OpPing:
			got = append(got, fmt.Sprintf("ping %q", p))
		case ws.OpPong:
			got = append(got, fmt.Sprintf("pong %q", p))
		default:
			code, reason := ws.ParseCloseFrameData(p)
			switch {
			case len(p) == 0:
				got, stop = append(got, `close 1005 ""`), frametest.ErrClosed
			case code >= 1012 && code <= 1014 && utf8.ValidString(reason): // registered since gobwas's list
				got, stop = append(got, fmt.Sprintf("close %d %q", code, reason)), frametest.ErrClosed
			case code >= 5000: // gobwas accepts them; RFC 6455, section 7.4.2, does not define them
				stop = ws.ErrProtocolStatusCodeUnknown
			case ws.CheckCloseFrameData(code, reason) != nil:
				stop = ws.CheckCloseFrameData(code, reason)
			default:
				got, stop = append(got, fmt.Sprintf("close %d %q", code, reason)), frametest.ErrClosed
			}
			return stop
		}
		return nil
	}
	r := wsutil.Reader{Source: src, State: ws.StateServerSide, CheckUTF8: true, MaxMessageSize: int64(limit), OnIntermediate: control}
	for {
		h, err := r.NextFrame()
		if err == nil && h.OpCode.IsControl() {
			err = control(h, &r)
			if err == nil && h.Length == 0 {
				err = r.Discard()
			}
		} else if err == nil {
			var p []byte
			if p, err = io.ReadAll(&r); err == nil {
				got = append(got, fmt.Sprintf("%s %q", frametest.Kind(h.OpCode), p))
			}
		}
		switch {
		case err == nil:
		case stop == frametest.ErrClosed || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return got, false
		default:
			return got, true
		}
	}
}

// FuzzMessages compares headers, assembled messages, control frames and failures with
// gobwas's reader. The events that both return must be equal. If gobwas fails, Reader
// fails. Only Reader fails on lengths that are not in their shortest form and, if gobwas
// waits for the end of a message, on bytes that can't be valid in it.
func FuzzMessages(f *testing.F) {
	for _, tt := range streams {
		if len(tt.stream) < 1000 {
			f.Add([]byte(tt.stream))
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		checkHeader(t, stream)
		const limit = 1000
		r := reader(limit)
		var got frametest.Recorder
		_, err := r.Feed(bytes.Clone(stream), &got)
		want, gobwasFails := gobwas(stream, limit)
		both := min(len(got.Events), len(want))
		for i := range both {
			require.Equal(t, want[i], got.Events[i], "event %d", i)
		}
		fails := err != nil && !errors.Is(err, frametest.ErrClosed)
		switch {
		case errors.Is(err, frame.ErrLengthNotMinimal):
			require.Len(t, got.Events, both, "gobwas has read on")
		case gobwasFails:
			require.True(t, fails, "gobwas fails after %q, Reader does not", want)
			require.Len(t, got.Events, len(want))
		default: // if Reader fails, gobwas waits for more
			require.Len(t, got.Events, len(want), "Reader ends with %v", err)
		}
	})
}
