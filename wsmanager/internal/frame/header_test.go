package frame_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
	"github.com/speakingtube/speakingtube/wsmanager/internal/frame/frametest"
)

func TestAppendAgreesWithGobwas(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 70000} {
		p := bytes.Repeat([]byte{'x'}, n)
		require.Equal(t, ws.MustCompileFrame(ws.NewBinaryFrame(p)), frame.Append(nil, ws.OpBinary, p))
		require.Len(t, frame.Append(nil, ws.OpBinary, p), frame.Size(n))
	}
}

// Every first and second byte, with lengths of all kinds, cut at each byte, causes no
// panic, and an announced length allocates nothing.
func TestEveryHeader(t *testing.T) {
	lengths := []uint64{0, 1, 125, 126, 1<<16 - 1, 1 << 16, testLimit, testLimit + 1, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<62 - 1, 1<<63 - 1, 1 << 63, 1<<64 - 1}
	feed := func(header []byte) error {
		for n := 1; n <= len(header); n++ {
			r := reader(testLimit)
			_, err := r.Feed(bytes.Clone(header[:n]), &frametest.Recorder{})
			require.Zero(t, r.Buffered(), "% x", header[:n])
			if err != nil {
				return err
			}
		}
		return nil
	}
	good := 0
	for first := range 256 {
		for second := range 256 {
			kinds := lengths[:1]
			if second&0x7f >= 126 {
				kinds = lengths
			}
			for _, length := range kinds {
				header := []byte{byte(first), byte(second)}
				switch second & 0x7f {
				case 126:
					header = binary.BigEndian.AppendUint16(header, uint16(length))
				case 127:
					header = binary.BigEndian.AppendUint64(header, length)
				}
				if second&0x80 != 0 {
					header = append(header, 1, 2, 3, 4)
				}
				err := feed(header)
				if err == nil {
					good++
					continue
				}
				var failure *frame.Error
				if !errors.Is(err, frametest.ErrClosed) { // an empty close frame
					require.ErrorAs(t, err, &failure)
					require.Contains(t, []ws.StatusCode{1002, 1009}, failure.Code)
				}
			}
		}
	}
	// Texts and binaries, whole or a first fragment: 0 to 125 bytes, 4 of the lengths
	// above in 16 bits and 2 in 64. Pings and pongs up to 125, and a close frame of 1 to
	// 125 whose payload has not arrived.
	require.Equal(t, 4*(126+lengths16(lengths)+lengths64(lengths))+2*126+125, good)
}

// lengths16 counts the lengths whose lower 16 bits are a valid length of 16 bits.
func lengths16(lengths []uint64) (n int) {
	for _, l := range lengths {
		if uint16(l) >= 126 {
			n++
		}
	}
	return n
}

// lengths64 counts the lengths within testLimit whose shortest form has 64 bits.
func lengths64(lengths []uint64) (n int) {
	for _, l := range lengths {
		if l >= 1<<16 && l <= testLimit {
			n++
		}
	}
	return n
}
