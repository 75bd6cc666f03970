package wsmanager_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// TestTexts checks the String methods, also for invalid values.
func TestTexts(t *testing.T) {
	require.Equal(t, "text binary unknown", wsmanager.TextMessage.String()+" "+wsmanager.BinaryMessage.String()+" "+wsmanager.MessageType(8).String())
	require.Equal(t, "drop oldest", wsmanager.SlowConsumerDropOldest.String())
	require.Equal(t, "unknown", wsmanager.SlowConsumer(99).String())
	refused := errors.New("refused")
	for want, e := range map[string]*wsmanager.RetriesExhaustedError{
		"wsmanager: gave up: refused":                                                {Err: refused},
		"wsmanager: gave up after the first attempt: refused":                        {Attempts: 1, Err: refused},
		"wsmanager: gave up after 3 attempts in 2s, with 4 messages unsent: refused": {Attempts: 3, Downtime: 2e9, Unsent: 4, Err: refused},
	} {
		require.EqualError(t, e, want)
		require.ErrorIs(t, e, refused)
	}
}

// An error that wraps another error of the package has the prefix only once.
func TestErrorPrefixOccursOnce(t *testing.T) {
	d, err := wsmanager.NewDialer("ws://example.com/", wsmanager.Callbacks{}, dialOptionsWithoutLog())
	require.NoError(t, err)
	shutdown(t, d.Manager())
	_, dialErr := d.Dial(t.Context())
	require.ErrorIs(t, dialErr, wsmanager.ErrShutdown)
	for want, err := range map[string]error{
		"wsmanager: dialling ws://example.com/: the manager is shutting down": dialErr,
		"wsmanager: closed here with 1001: nothing was received in time":      &wsmanager.CloseError{Code: 1001, Err: wsmanager.ErrIdleTimeout},
		"wsmanager: gave up after the first attempt: dialling ws://example.com/: the manager is shutting down": &wsmanager.RetriesExhaustedError{
			Attempts: 1, Err: dialErr},
	} {
		require.EqualError(t, err, want)
	}
}

// An attempt's error wraps the error of the application or of the package, and its text has
// the prefix only once.
func TestOnDialErrors(t *testing.T) {
	own := errors.New("no ticket")
	for want, err := range map[string]error{
		"wsmanager: dialling ws://example.com/: OnDial: no ticket":                                                own,
		"wsmanager: dialling ws://example.com/: OnDial: the connection is closed":                                 wsmanager.ErrClosed,
		`wsmanager: dialling ws://example.com/: OnDial: rejected with 403 Forbidden: not you`:                     wsmanager.Reject(403, "not you"),
		"wsmanager: dialling ws://example.com/: OnDial: the proxy refused with 407 Proxy Authentication Required": &wsmanager.RefusedError{StatusCode: 407, Proxy: true},
	} {
		opts := dialOptionsWithoutLog()
		opts.Handshake.OnDial = func(context.Context, *wsmanager.Attempt) error { return err }
		_, dialErr := wsmanager.Dial(t.Context(), "ws://me:secret@example.com/?token=secret", wsmanager.Callbacks{}, opts)
		require.EqualError(t, dialErr, want)
		require.ErrorIs(t, dialErr, err)
	}
}
