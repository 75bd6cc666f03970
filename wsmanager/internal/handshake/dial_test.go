package handshake

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/internal/transport"
)

// noDeadlines is a connection of a NetDial whose SetDeadline panics.
type noDeadlines struct{ net.Conn }

func (noDeadlines) SetDeadline(time.Time) error { panic("oops") }

// The context is watched on a goroutine of its own, where a panic would end the process.
func TestPanicWhenTheContextEndsDuringTheHandshake(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	err := runWithContext(ctx, noDeadlines{ours}, func() error {
		cancel(cause)
		_, err := io.ReadFull(ours, make([]byte, 1)) // until the connection is closed
		return err
	})
	require.ErrorIs(t, err, cause)
	require.NotNil(t, transport.AsPanic(err))
	require.Equal(t, "SetDeadline", transport.AsPanic(err).Method)
}
