package wsmanager_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager"
	_ "github.com/speakingtube/speakingtube/wsmanager/extendedconnect"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		// Parallel tests mostly wait, so more of them than processors can run at once.
		if err := flag.Set("test.parallel", "16"); err != nil {
			panic(err)
		}
	}
	wstest.Main(m)
}

// journal records entries in order.
type journal struct {
	mu      sync.Mutex
	entries []string
	changed chan struct{} // closed when the next entry is added
}

func newJournal() *journal { return &journal{changed: make(chan struct{})} }

func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, fmt.Sprintf(format, args...))
	close(j.changed)
	j.changed = make(chan struct{})
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.entries...)
}

// await waits for n entries and returns all of them.
func (j *journal) await(t *testing.T, n int) []string {
	t.Helper()
	timeout := time.After(wstest.Patience)
	for {
		j.mu.Lock()
		entries, changed := append([]string(nil), j.entries...), j.changed
		j.mu.Unlock()
		if len(entries) >= n {
			return entries
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("got fewer than %d entries: %q", n, entries)
		}
	}
}

// Write adds a line of a log as an entry.
func (j *journal) Write(p []byte) (int, error) {
	j.note("%s", bytes.TrimSpace(p))
	return len(p), nil
}

// record returns the nth entry of a JSON log.
func (j *journal) record(t *testing.T, n int) map[string]any {
	t.Helper()
	var rec map[string]any
	require.NoError(t, json.Unmarshal([]byte(j.await(t, n+1)[n]), &rec))
	return rec
}

// inGroup returns an attribute of a group in a record.
func inGroup(record map[string]any, group, name string) any {
	attrs, _ := record[group].(map[string]any)
	return attrs[name]
}

// recordingCallbacks returns callbacks that record every call and echo messages.
func recordingCallbacks(j *journal) wsmanager.Callbacks {
	return wsmanager.Callbacks{
		OnConnect: func(*wsmanager.Conn) error { j.note("connect"); return nil },
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			j.note("%v %q", m.Type, m.Payload)
			return c.Send(m)
		},
		OnClose: func(_ *wsmanager.Conn, err error) { j.note("close: %v", err) },
	}
}

// optionsWithoutLog returns options that discard the log.
func optionsWithoutLog() wsmanager.Options {
	return wsmanager.Options{Logger: slog.New(slog.DiscardHandler)}
}

// logged returns options with a JSON log, and its journal.
func logged() (wsmanager.Options, *journal) {
	j := newJournal()
	return wsmanager.Options{Logger: slog.New(slog.NewJSONHandler(j, nil))}, j
}

// serve creates a Manager with the driver of the test and serves h, or the Manager itself if h
// is nil. It shuts the Manager down at the end of the test.
func serve(t *testing.T, cb wsmanager.Callbacks, opts wsmanager.Options, h func(*wsmanager.Manager) http.Handler) (*wsmanager.Manager, string) {
	t.Helper()
	m, err := wsmanager.New(cb, onDriver(t, opts))
	require.NoError(t, err)
	var handler http.Handler = m
	if h != nil {
		handler = h(m)
	}
	srv := httptest.NewUnstartedServer(handler)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	serveDriverProtocol(t, srv)
	srv.Start()
	t.Cleanup(func() {
		// Shutdown succeeds with and without open client connections.
		shutdown(t, m)
		srv.Close()
	})
	return m, srv.URL
}

func shutdown(t *testing.T, m *wsmanager.Manager) {
	t.Helper()
	if err := m.Shutdown(t.Context()); err != nil {
		// t.Context is cancelled during cleanup: Shutdown then cuts connections and returns an
		// error.
		require.ErrorContains(t, err, "context canceled")
		require.NotContains(t, err.Error(), "callbacks", "a callback has not returned")
	}
}

// ids returns the ids of the registered connections.
func ids(m *wsmanager.Manager) []string {
	var out []string
	for c := range m.All().Local() {
		out = append(out, c.ID())
	}
	return out
}

// onlyConn returns the only registered connection.
func onlyConn(t *testing.T, m *wsmanager.Manager) *wsmanager.Conn {
	t.Helper()
	require.Equal(t, 1, m.All().Len())
	for c := range m.All().Local() {
		return c
	}
	t.Fatal("Len returned 1, but All is empty")
	return nil
}

func repeat(s string, n int) string { return strings.Repeat(s, n) }
