package browsertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/internal/exampletest"
)

// patience is the time limit for each action of a page.
const patience = 30 * time.Second

// browser starts a headless Chromium for the test.
func browser(t *testing.T, flags ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	path := chromium(t)
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // CI runs as root; the pages are our own
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.WindowSize(1000, 640),
	)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), append(opts, flags...)...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(ctx), "starting %s", path)
	return ctx
}

// chromium returns the path of the browser.
func chromium(t *testing.T) string {
	t.Helper()
	exampletest.Programs(t)
	names := []string{"chromium", "chromium-browser", "google-chrome"}
	if path := os.Getenv("CHROMIUM"); path != "" {
		names = []string{path}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	exampletest.Missing(t, fmt.Sprintf("none of %q is installed: install Chromium (Debian: apt-get install chromium) or set CHROMIUM", names))
	return ""
}

// openTab opens a page in a new tab.
func openTab(t *testing.T, browser context.Context, url string) context.Context {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	do(t, ctx, chromedp.Navigate(url))
	return ctx
}

// do runs an action in a tab.
func do(t *testing.T, tab context.Context, action chromedp.Action[chromedp.Void]) {
	t.Helper()
	run(t, tab, action)
}

// run runs an action in a tab within patience, and returns its value.
func run[T any](t *testing.T, tab context.Context, action chromedp.Action[T]) T {
	t.Helper()
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		v, err := chromedp.Run(tab, action)
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		require.NoError(t, r.err)
		return r.v
	case <-time.After(patience):
		t.Fatal("the page did not do it in time")
		panic("not reached")
	}
}

// eval evaluates JavaScript in a tab, and waits for it if it is a promise.
func eval[T any](t *testing.T, tab context.Context, js string) T {
	t.Helper()
	return run(t, tab, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
}

// await waits until a JavaScript expression is true.
func await(t *testing.T, tab context.Context, js string) {
	t.Helper()
	do(t, tab, chromedp.Poll[chromedp.Void](js, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(patience)))
}

// screenshot saves a picture of the tab in the directory that the environment names, or
// among the test's artifacts.
func screenshot(t *testing.T, tab context.Context, name string) {
	t.Helper()
	png := run(t, tab, chromedp.CaptureScreenshot())
	require.NotEmpty(t, png)
	dir := os.Getenv("SPEAKINGTUBE_SCREENSHOTS")
	if dir == "" {
		dir = t.ArtifactDir()
	}
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), png, 0o644))
}
