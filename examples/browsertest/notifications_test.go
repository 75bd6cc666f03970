package browsertest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// notify sends a notification as curl does.
func notify(t *testing.T, server *program, message string) {
	t.Helper()
	res, err := http.Get(server.url + "/api/messages/sendmessage?message=" + url.QueryEscape(message))
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 200, res.StatusCode)
}

// awaitNotification waits until a notification is the latest on the page.
func awaitNotification(t *testing.T, tab context.Context, message string) {
	t.Helper()
	await(t, tab, fmt.Sprintf(`document.querySelector("#list li:first-child .body")?.textContent === %q`, message))
}

func answered(text string) string {
	return fmt.Sprintf(`document.querySelector("#answer").textContent === %q`, text)
}

// A notification sent over HTTP is shown on every page as text. The pages reconnect after a
// restart of the server.
func TestNotifications(t *testing.T) {
	b := browser(t)
	bin := build(t, "notifications")
	server := start(t, bin, "127.0.0.1:0")

	ann := openTab(t, b, server.url)
	await(t, ann, connected)
	require.True(t, eval[bool](t, ann, `document.querySelector("#empty").checkVisibility()`))
	bob := openTab(t, b, server.url)
	await(t, bob, connected)

	notify(t, server, "hi")
	awaitNotification(t, ann, "hi")
	awaitNotification(t, bob, "hi")
	require.False(t, eval[bool](t, ann, `document.querySelector("#empty").checkVisibility()`))

	do(t, ann, chromedp.SendKeys(chromedp.CSS("#message"), "from the page\n"))
	awaitNotification(t, ann, "from the page")
	awaitNotification(t, bob, "from the page")
	await(t, ann, answered("sent to 2 pages"))
	require.Empty(t, eval[string](t, ann, `document.querySelector("#message").value`))

	// Notifications are shown as text, not as HTML.
	const evil = `<img src=x onerror="document.title='hacked'"> <b>bold</b>`
	notify(t, server, evil)
	awaitNotification(t, ann, evil)
	require.Zero(t, eval[int](t, ann, `document.querySelectorAll("#list b, #list img").length`))

	// An empty notification is refused.
	do(t, bob, chromedp.Click(chromedp.CSS("#send")))
	await(t, bob, answered("the parameter message is missing"))
	notify(t, server, "a long one without a space: "+strings.Repeat("x", 300))
	screenshot(t, ann, "notifications.png")

	// On a phone.
	do(t, bob, chromedp.EmulateViewport(360, 700, chromedp.EmulateMobile, chromedp.EmulateScale(2)))
	await(t, bob, `document.querySelectorAll("#list li").length === 4`)
	require.True(t, eval[bool](t, bob, `document.documentElement.scrollWidth <= innerWidth`), "nothing sticks out sideways")
	require.True(t, eval[bool](t, bob, `document.querySelector("#send").getBoundingClientRect().right <= innerWidth`))
	screenshot(t, bob, "notifications-phone.png")

	// The server restarts.
	server.stop(t)
	await(t, ann, `document.querySelector("#state").dataset.state === "waiting"`)
	do(t, ann, chromedp.SendKeys(chromedp.CSS("#message"), "lost?\n"))
	await(t, ann, answered("not sent: the server did not answer"))
	require.Equal(t, "lost?", eval[string](t, ann, `document.querySelector("#message").value`), "what was not sent is kept")
	screenshot(t, ann, "notifications-reconnecting.png")
	server = start(t, bin, strings.TrimPrefix(server.url, "http://"))
	await(t, ann, connected)
	await(t, bob, connected)
	notify(t, server, "back again")
	awaitNotification(t, ann, "back again")
	awaitNotification(t, bob, "back again")
	server.stop(t)
	require.NotContains(t, server.logs.String(), "level=ERROR")
	require.NotContains(t, server.logs.String(), "level=WARN")
}
