package wsmanager

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A connection that began to close while Shutdown collected the remaining connections was
// found in two sets. If its OnClose did not return, it was counted as two callbacks.
func TestUnendedConnectionsAreCountedOnce(t *testing.T) {
	m, _ := fakeManager(t, Options{})
	a := fakeConn(t, m, "a", newFakeTransport(1<<20), Accept{})
	b := fakeConn(t, m, "b", newFakeTransport(1<<20), Accept{})
	m.admission.SetClosing(a, true) // before it leaves the registry, as in finish
	defer m.admission.SetClosing(a, false)
	require.ElementsMatch(t, []*Conn{a, b}, m.admission.Open(m.All().Local()))
}
