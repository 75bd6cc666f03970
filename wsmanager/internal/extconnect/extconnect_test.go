package extconnect_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/internal/extconnect"
)

// A process without extended CONNECT gets an error that tells how to enable it.
func TestOff(t *testing.T) {
	if strings.Contains(os.Getenv("GODEBUG"), "http2xconnect=1") {
		t.Skip("GODEBUG enables it")
	}
	require.ErrorIs(t, extconnect.Check(), extconnect.ErrDisabled)
	_, err := wsmanager.New(wsmanager.Callbacks{}, wsmanager.Options{RequireHTTP2: true})
	require.ErrorIs(t, err, extconnect.ErrDisabled)
	require.ErrorContains(t, err, `import _ "github.com/speakingtube/speakingtube/wsmanager/extendedconnect"`)
	require.ErrorContains(t, err, "GODEBUG=http2xconnect=1")
	_, err = wsmanager.New(wsmanager.Callbacks{}, wsmanager.Options{})
	require.NoError(t, err, "it was not required")
}
