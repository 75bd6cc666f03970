package xconnect_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/internal/xconnect"
)

// A process that has not switched it on is told how to.
func TestOff(t *testing.T) {
	if strings.Contains(os.Getenv("GODEBUG"), "http2xconnect=1") {
		t.Skip("GODEBUG has switched it on")
	}
	require.ErrorIs(t, xconnect.Check(), xconnect.ErrOff)
	_, err := wsmanager.New(wsmanager.Callbacks{}, wsmanager.Options{RequireHTTP2: true})
	require.ErrorIs(t, err, xconnect.ErrOff)
	require.ErrorContains(t, err, `import _ "github.com/speakingtube/speakingtube/wsmanager/extendedconnect"`)
	require.ErrorContains(t, err, "GODEBUG=http2xconnect=1")
	_, err = wsmanager.New(wsmanager.Callbacks{}, wsmanager.Options{})
	require.NoError(t, err, "nobody has asked for it")
}
