package main

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/pipeline"
)

func TestBranches(t *testing.T) {
	log.SetOutput(io.Discard)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	srv := httptest.NewServer(newApp().MustBuild())
	t.Cleanup(srv.Close)
	for target, want := range map[string]string{
		"/":              "hello",
		"/aboutness":     "hello", // whole segments
		"/about":         "a chat, built step by step; below /about you asked for /",
		"/about/us":      "a chat, built step by step; below /about you asked for /us",
		"/ABOUT/version": "0.1", // in any case
		"/?shout":        "HELLO",
		"/about?shout":   "a chat, built step by step; below /about you asked for /",
	} {
		res, err := srv.Client().Get(srv.URL + target)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, want+"\n", string(body), target)
	}
}

// The tutorial shows this output of the program.
func TestTutorial(t *testing.T) {
	text, err := os.ReadFile("../../../docs/tutorial.md")
	require.NoError(t, err)
	tree := strings.ReplaceAll(newApp().String(), " 03-branches.", " main.") // the linker's name of the package outside of tests
	require.True(t, strings.Contains(string(text), "```\n"+tree+"\n```"), "docs/tutorial.md should have\n%s", tree)

	app := pipeline.New()
	app.Map("/about", func(b *pipeline.Builder) { b.RunFunc(where) })
	app.Map("/about/version", func(b *pipeline.Builder) { b.RunFunc(version) })
	_, err = app.Build()
	require.Error(t, err)
	mistake := regexp.MustCompile(`/\S+/main_test\.go:\d+`).ReplaceAllString(err.Error(), "main.go:NN")
	unwrapped := strings.Join(strings.Fields(string(text)), " ")
	require.Contains(t, regexp.MustCompile(`main\.go:\d+`).ReplaceAllString(unwrapped, "main.go:NN"), mistake)
}
