package browsertest

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// enterBoard types a name and enters the board.
func enterBoard(t *testing.T, tab context.Context, name string) {
	t.Helper()
	await(t, tab, `document.querySelector("#door").open`)
	do(t, tab, chromedp.SendKeys(chromedp.CSS("#name"), name+"\n"))
	await(t, tab, connected)
}

// drawCurve moves the pressed mouse along a curve. x and y are between 0 and 1.
func drawCurve(t *testing.T, tab context.Context, colour, width, steps int, curve func(at float64) (x, y float64)) {
	t.Helper()
	do(t, tab, chromedp.Click(chromedp.CSS(fmt.Sprintf("#colours button:nth-child(%d)", colour))))
	do(t, tab, chromedp.Click(chromedp.CSS(fmt.Sprintf("#widths button:nth-child(%d)", width))))
	box := eval[[]float64](t, tab, `(() => { const b = document.querySelector("#canvas").getBoundingClientRect(); return [b.left, b.top, b.width, b.height] })()`)
	point := func(at float64) (x, y float64) {
		x, y = curve(at)
		return box[0] + x*box[2], box[1] + y*box[3]
	}
	x, y := point(0)
	do(t, tab, chromedp.MouseEvent(chromedp.MousePressed, x, y, chromedp.ButtonLeft))
	for i := 1; i <= steps; i++ {
		x, y = point(float64(i) / float64(steps))
		do(t, tab, chromedp.MouseEvent(chromedp.MouseMoved, x, y, chromedp.ButtonLeft))
	}
	do(t, tab, chromedp.MouseEvent(chromedp.MouseReleased, x, y, chromedp.ButtonLeft))
}

// inked counts the pixels of the canvas that are drawn on, per thousand.
const inked = `(() => { const c = document.querySelector("#canvas"), d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data; let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return Math.round(1000 * n / (d.length / 4)) })()`

// sameInk waits until two canvases of the same size have as many drawn pixels. The last
// strokes may be in transit.
func sameInk(t *testing.T, a, b context.Context) {
	t.Helper()
	require.Eventually(t, func() bool {
		ours := eval[int](t, a, inked)
		return ours > 0 && ours == eval[int](t, b, inked)
	}, patience, 20*time.Millisecond)
}

// messageExpression is an expression for a message on the page, sent by this tab or by another one.
func messageExpression(text string, mine bool) string {
	return fmt.Sprintf(`[...document.querySelectorAll("#messages li")].some(li => li.classList.contains("mine") === %t && li.querySelector(".body")?.textContent === %q)`, mine, text)
}

func noticeExpression(text string) string {
	return fmt.Sprintf(`[...document.querySelectorAll("#messages .notice")].some(li => li.textContent === %q)`, text)
}

func presenceExpression(names ...string) string {
	return fmt.Sprintf(`document.querySelector("#count").textContent === "%d" && [...document.querySelectorAll("#people .name")].map(e => e.textContent).join() === %q`, len(names), strings.Join(names, ","))
}

// Two people use one board with the official client, one in each protocol: presence, chat,
// typing notices, lines while they are drawn, the replay, and a restart of the server.
func TestBoard(t *testing.T) {
	b := browser(t)
	bin := build(t, "hub")
	server := start(t, bin, "127.0.0.1:0")

	ann := openTab(t, b, server.url)
	enterBoard(t, ann, "Ann")
	await(t, ann, presenceExpression("Ann"))
	bob := openTab(t, b, server.url+"/?messagepack")
	enterBoard(t, bob, "Bob")
	await(t, bob, presenceExpression("Ann", "Bob"))
	await(t, ann, presenceExpression("Ann", "Bob"))
	await(t, ann, noticeExpression("Bob has come"))
	require.Equal(t, "MessagePack", eval[string](t, bob, `document.querySelector("nav [aria-current]").textContent`))

	// The typing notice is shown until the message arrives.
	do(t, bob, chromedp.SendKeys(chromedp.CSS("#text"), "Hello! A boat would"))
	await(t, ann, `document.querySelector("#typing").textContent === "Bob is typing…"`)
	do(t, bob, chromedp.SendKeys(chromedp.CSS("#text"), " be nice.\n"))
	await(t, ann, messageExpression("Hello! A boat would be nice.", false))
	await(t, bob, messageExpression("Hello! A boat would be nice.", true))
	await(t, ann, `document.querySelector("#typing").textContent === ""`)
	typeMessage(t, ann, "With the sun, and the sea?")
	await(t, bob, messageExpression("With the sun, and the sea?", false))

	// Lines.
	require.Zero(t, eval[int](t, bob, inked))
	drawCurve(t, ann, 3, 3, 40, func(at float64) (x, y float64) { // a sun
		return 0.76 + 0.07*math.Cos(at*2*math.Pi), 0.24 + 0.11*math.Sin(at*2*math.Pi)
	})
	await(t, bob, inked+` > 10`)
	drawCurve(t, bob, 2, 2, 30, func(at float64) (x, y float64) { // sails
		at *= 2
		switch {
		case at < 1:
			return 0.32 + 0.16*at, 0.2 + 0.36*at*at
		case at < 1.5:
			return 0.48 - 0.32*(at-1), 0.56
		default:
			return 0.32, 0.56 - 0.36*(at-1.5)/0.5
		}
	})
	drawCurve(t, bob, 1, 2, 36, func(at float64) (x, y float64) { // a mast and a hull
		switch {
		case at < 0.3:
			return 0.32, 0.17 + 0.46*at/0.3
		case at < 0.4:
			return 0.32 - 0.14*(at-0.3)/0.1, 0.63
		case at < 0.9:
			return 0.18 + 0.34*(at-0.4)/0.5, 0.63 + 0.09*math.Sin((at-0.4)/0.5*math.Pi)
		default:
			return 0.52 - 0.34*(at-0.9)/0.1, 0.63
		}
	})
	drawCurve(t, ann, 6, 3, 60, func(at float64) (x, y float64) { // the sea
		return 0.08 + 0.84*at, 0.76 + 0.05*math.Sin(at*6*math.Pi)
	})
	await(t, bob, inked+` > 30`)
	sameInk(t, ann, bob)
	do(t, bob, chromedp.SendKeys(chromedp.CSS("#text"), "and a"))
	await(t, ann, `document.querySelector("#typing").textContent !== ""`)

	// The replay runs in this tab only, and can be stopped.
	eval[bool](t, ann, `window.steps = [], new MutationObserver(() => steps.push(document.querySelector("#played").textContent)).observe(document.querySelector("#played"), { childList: true }), true`)
	do(t, ann, chromedp.Click(chromedp.CSS("#replay")))
	await(t, ann, `document.querySelector("#progress").value >= 0.7`)
	screenshot(t, ann, "hub.png")
	require.True(t, eval[bool](t, bob, `document.querySelector("#playing").hidden`))
	await(t, ann, `document.querySelector("#playing").hidden`)
	steps := eval[[]string](t, ann, `steps`)
	require.Greater(t, len(steps), 3, "progress is shown: %q", steps)
	n, total, ok := strings.Cut(steps[len(steps)-1], " of ")
	require.True(t, ok && n == total, "%q", steps)
	require.True(t, eval[bool](t, ann, `new Promise(done => {
		document.querySelector("#replay").click();
		new MutationObserver(() => {
			document.querySelector("#cancel").click();
			done(document.querySelector("#progress").value < 1 && document.querySelector("#playing").hidden);
		}).observe(document.querySelector("#played"), { childList: true });
	})`))

	// Messages are shown as text, not as HTML.
	empty := `document.querySelector("#text").value = ""`
	eval[string](t, bob, empty)
	typeMessage(t, bob, `<img src=x onerror="document.title='hacked'"> <b>bold</b>`)
	await(t, ann, messageExpression(`<img src=x onerror="document.title='hacked'"> <b>bold</b>`, false))
	require.Zero(t, eval[int](t, ann, `document.querySelectorAll("#messages b, #messages img, #people b").length`))
	require.Equal(t, "Speaking Tube board", eval[string](t, ann, `document.title`))

	// A person who enters later sees the board and its people.
	eve := openTab(t, b, server.url)
	enterBoard(t, eve, "<b>Eve</b>")
	await(t, ann, noticeExpression("<b>Eve</b> has come"))
	await(t, ann, presenceExpression("Ann", "Bob", "<b>Eve</b>"))
	require.Zero(t, eval[int](t, ann, `document.querySelectorAll("#messages b, #people b").length`))
	sameInk(t, eve, bob)
	await(t, eve, messageExpression("Hello! A boat would be nice.", false))
	do(t, eve, chromedp.EmulateViewport(390, 780, chromedp.EmulateMobile, chromedp.EmulateScale(2)))
	require.True(t, eval[bool](t, eve, `document.documentElement.scrollWidth <= innerWidth`), "nothing sticks out sideways")
	screenshot(t, eve, "hub-phone.png")
	require.NoError(t, chromedp.Cancel(eve))
	await(t, ann, noticeExpression("<b>Eve</b> has left"))
	await(t, ann, presenceExpression("Ann", "Bob"))

	do(t, bob, chromedp.Click(chromedp.CSS("#wipe")))
	await(t, ann, inked+` === 0`)
	await(t, ann, noticeExpression("Bob has wiped the board"))

	// The server restarts, and both people return with their names.
	server.stop(t)
	await(t, ann, `document.querySelector("#state").dataset.state === "waiting" && document.querySelector("#send").disabled`)
	server = start(t, bin, strings.TrimPrefix(server.url, "http://"))
	for _, tab := range []context.Context{ann, bob} {
		await(t, tab, connected+` && document.querySelector("#count").textContent === "2"`)
	}
	typeMessage(t, ann, "back again")
	await(t, bob, messageExpression("back again", false))
	server.stop(t)
	require.NotContains(t, server.logs.String(), "level=ERROR")
	require.NotContains(t, server.logs.String(), "level=WARN")
}
