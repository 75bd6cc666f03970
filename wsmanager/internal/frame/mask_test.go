package frame_test

import (
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/frame"
)

// A client's frames are masked, and a server's are not.
func TestMaskKeys(t *testing.T) {
	var server *frame.MaskKeys
	plain := frame.Append(nil, ws.OpText, []byte("hello"))
	require.Equal(t, plain, server.Append(nil, ws.OpText, []byte("hello")))
	require.Same(t, &plain[0], &server.Masked(plain)[0], "it is not copied")

	client := frame.NewMaskKeys()
	for _, masked := range [][]byte{
		client.Masked(plain),
		client.Append([]byte("before"), ws.OpText, []byte("hello"))[len("before"):],
	} {
		require.Len(t, masked, len(plain)+frame.MaskSize)
		require.EqualValues(t, plain[1]|0x80, masked[1])
		payload := masked[2+frame.MaskSize:]
		require.NotEqual(t, "hello", string(payload), "true for all keys but one in four billion")
		ws.Cipher(payload, [4]byte(masked[2:]), 0)
		require.Equal(t, "hello", string(payload))
	}
	require.Equal(t, frame.Append(nil, ws.OpText, []byte("hello")), plain, "it is copied before it is masked")
}
