package frame_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame/frametest"
)

// pieceReader returns a server's reader that delivers pieces of at most limit bytes.
func pieceReader(limit int) *frame.Reader {
	return frame.GetReader(frame.Config{Masked: true, Limit: limit, Pieces: true})
}

// Pieces have the bytes of the messages, however the stream is cut, and however often another
// goroutine takes over. Only the limit of a message does not apply.
func TestPieces(t *testing.T) {
	for _, tt := range streams {
		t.Run(tt.name, func(t *testing.T) {
			if strings.HasPrefix(tt.name, "length of 2^63") {
				return
			}
			for _, limit := range []int{1, 3, testLimit} {
				for _, n := range []int{0, 1, 2, 3, 7} {
					for _, takes := range []func() bool{nil, func() bool { return true }} {
						if takes != nil && len(tt.stream) > 1000 {
							continue
						}
						events, held := (&frametest.Recorder{Takes: takes}).Record(pieceReader(limit), []byte(tt.stream), n)
						require.Equal(t, tt.want, events, "in pieces of %d, limit %d", n, limit)
						require.LessOrEqual(t, held, 125*2, "only control frames are collected")
					}
				}
			}
		})
	}
}

// pieceLog records pieces.
type pieceLog struct {
	discard
	pieces []frame.Piece
	each   func() error
}

func (l *pieceLog) OnPiece(p frame.Piece) error {
	p.Data = bytes.Clone(p.Data)
	l.pieces = append(l.pieces, p)
	if l.each != nil {
		return l.each()
	}
	return nil
}

func TestPiecesOfAMessage(t *testing.T) {
	text := func(data string, first, last, more bool) frame.Piece {
		return frame.Piece{Op: ws.OpText, Data: append([]byte{}, data...), First: first, Last: last, More: more}
	}
	for _, tt := range []struct {
		name   string
		stream string
		want   []frame.Piece
	}{
		{"a message", frametest.Frame(ws.OpText, true, "hello"), []frame.Piece{text("hello", true, true, false)}},
		{"an empty message", frametest.Frame(ws.OpText, true, ""), []frame.Piece{text("", true, true, false)}},
		{"more than a piece", frametest.Frame(ws.OpText, true, "0123456789ab"), []frame.Piece{text("01234567", true, false, true), text("89ab", false, true, false)}},
		{"exactly two pieces", frametest.Frame(ws.OpText, true, "0123456789abcdef"), []frame.Piece{text("01234567", true, false, true), text("89abcdef", false, true, false)}},
		{"a beginning", frametest.Frame(ws.OpText, true, "hello")[:8], []frame.Piece{text("he", true, false, false)}},
		{"fragments", frametest.Frame(ws.OpText, false, "he") + frametest.Frame(ws.OpContinuation, true, "llo"), []frame.Piece{text("he", true, false, true), text("llo", false, true, false)}},
		{"empty fragments", frametest.Frame(ws.OpText, false, "") + frametest.Frame(ws.OpContinuation, false, "") + frametest.Frame(ws.OpContinuation, false, "x") + frametest.Frame(ws.OpContinuation, true, ""), []frame.Piece{text("x", true, false, true), text("", false, true, false)}},
		{"a character in two pieces", frametest.Frame(ws.OpText, false, "\xc3") + frametest.Frame(ws.OpContinuation, true, "\xa4"), []frame.Piece{text("\xc3", true, false, true), text("\xa4", false, true, false)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l pieceLog
			_, err := pieceReader(8).Feed([]byte(tt.stream), &l)
			require.NoError(t, err)
			for i := range l.pieces {
				l.pieces[i].Data = append([]byte{}, l.pieces[i].Data...)
			}
			require.Equal(t, tt.want, l.pieces)
		})
	}
}

// A message may have any number of fragments, but not many without payload in a row.
func TestEmptyFragmentsAmongPieces(t *testing.T) {
	empty := strings.Repeat(frametest.Frame(ws.OpContinuation, false, ""), 90)
	stream := frametest.Frame(ws.OpBinary, false, "x")
	for range 10 {
		stream += empty + frametest.Frame(ws.OpContinuation, false, "x")
	}
	var l pieceLog
	r := pieceReader(8)
	_, err := r.Feed([]byte(stream), &l)
	require.NoError(t, err)
	require.Len(t, l.pieces, 11)
	_, err = r.Feed([]byte(empty+empty), &l)
	require.ErrorIs(t, err, frame.ErrEmptyFragments)
}

// After Skip nothing is delivered except the ends of messages, and invalid text is not found.
func TestSkippedPieces(t *testing.T) {
	r := pieceReader(8)
	l := pieceLog{each: func() error { r.Skip(); return nil }}
	_, err := r.Feed([]byte(frametest.Frame(ws.OpText, true, "0123456789ab")+frametest.Frame(ws.OpText, true, "\xff")+frametest.Frame(ws.OpBinary, false, "x")), &l)
	require.NoError(t, err)
	require.Equal(t, []frame.Piece{
		{Op: ws.OpText, Data: []byte("01234567"), First: true, More: true},
		{Op: ws.OpText, Last: true, More: true},
		{Op: ws.OpText, First: true, Last: true, More: true},
	}, l.pieces)
}

// An error of the handler stops Feed behind the piece.
func TestErrorOfAPiece(t *testing.T) {
	r := pieceReader(4)
	failure := errors.New("no")
	l := pieceLog{each: func() error { return failure }}
	stream := []byte(frametest.Frame(ws.OpText, true, "0123456789ab"))
	read, err := r.Feed(stream, &l)
	require.Equal(t, failure, err)
	require.Equal(t, 6+4, read)
	l.each = nil
	_, err = r.Feed(stream[read:], &l)
	require.NoError(t, err)
	require.Equal(t, "456789ab", string(l.pieces[1].Data)+string(l.pieces[2].Data))
	require.True(t, r.Idle())
}

// FuzzPieces compares pieces with whole messages.
func FuzzPieces(f *testing.F) {
	for _, tt := range streams {
		if len(tt.stream) < 1000 {
			f.Add([]byte(tt.stream), uint8(3), uint8(5), uint8(0x55))
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte, n, limit, takes uint8) {
		const whole = 1 << 30
		want, _ := (&frametest.Recorder{}).Record(frame.GetReader(frame.Config{Masked: true, Limit: whole}), stream, 0)
		got, _ := (&frametest.Recorder{Takes: func() bool {
			takes = takes<<1 | takes>>7
			return takes&1 != 0
		}}).Record(pieceReader(int(limit)+1), stream, int(n))
		last := len(want) - 1
		if last >= 0 && (want[last] == "fail 1009" || want[last] == "fail 1008") {
			return // a message above the limit, or with many empty fragments
		}
		require.Equal(t, want, got)
	})
}
