package wsmanager_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
)

// What is printed of values, and of those that are none.
func TestTexts(t *testing.T) {
	require.Equal(t, "text binary unknown", wsmanager.TextMessage.String()+" "+wsmanager.BinaryMessage.String()+" "+wsmanager.MessageType(8).String())
	require.Equal(t, "drop oldest", wsmanager.SlowConsumerDropOldest.String())
	require.Equal(t, "unknown", wsmanager.SlowConsumer(99).String())
	refused := errors.New("refused")
	for want, e := range map[string]*wsmanager.GaveUpError{
		"wsmanager: gave up: refused":                                                {Err: refused},
		"wsmanager: gave up after the first attempt: refused":                        {Attempts: 1, Err: refused},
		"wsmanager: gave up after 3 attempts in 2s, with 4 messages unsent: refused": {Attempts: 3, Downtime: 2e9, Unsent: 4, Err: refused},
	} {
		require.EqualError(t, e, want)
		require.ErrorIs(t, e, refused)
	}
}
