package browsertest

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// enters gives a name at the board's door.
func enters(t *testing.T, tab context.Context, name string) {
	t.Helper()
	await(t, tab, `document.querySelector("#door").open`)
	do(t, tab, chromedp.SendKeys(chromedp.CSS("#name"), name+"\n"))
	await(t, tab, connected)
}

// draws moves the mouse, pressed, along a curve: x and y go from 0 to 1.
func draws(t *testing.T, tab context.Context, colour, width, steps int, curve func(at float64) (x, y float64)) {
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

// inked counts the pixels of the canvas that somebody has drawn on, per thousand.
const inked = `(() => { const c = document.querySelector("#canvas"), d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data; let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return Math.round(1000 * n / (d.length / 4)) })()`

// said is a message on the page, of this tab or not.
func said(text string, mine bool) string {
	return fmt.Sprintf(`[...document.querySelectorAll("#messages li")].some(li => li.classList.contains("mine") === %t && li.querySelector(".body")?.textContent === %q)`, mine, text)
}

func notice(text string) string {
	return fmt.Sprintf(`[...document.querySelectorAll("#messages .notice")].some(li => li.textContent === %q)`, text)
}

func present(names ...string) string {
	return fmt.Sprintf(`document.querySelector("#count").textContent === "%d" && [...document.querySelectorAll("#people .name")].map(e => e.textContent).join() === %q`, len(names), strings.Join(names, ","))
}

// Two people at one board, by the official client, one in each protocol: presence,
// talk, who types, lines while they are drawn, the replay, and a restart of the server.
func TestBoard(t *testing.T) {
	b := browser(t)
	bin := build(t, "hub")
	server := start(t, bin, "127.0.0.1:0")

	ann := tab(t, b, server.url)
	enters(t, ann, "Ann")
	await(t, ann, present("Ann"))
	bob := tab(t, b, server.url+"/?messagepack")
	enters(t, bob, "<b>Bob</b>")
	await(t, bob, present("Ann", "<b>Bob</b>"))
	await(t, ann, present("Ann", "<b>Bob</b>"))
	await(t, ann, notice("<b>Bob</b> has come"))
	require.Equal(t, "MessagePack", eval[string](t, bob, `document.querySelector("nav [aria-current]").textContent`))

	// Who types is seen to, until it is said.
	do(t, bob, chromedp.SendKeys(chromedp.CSS("#text"), "hello from the sec"))
	await(t, ann, `document.querySelector("#typing").textContent === "<b>Bob</b> is typing…"`)
	do(t, bob, chromedp.SendKeys(chromedp.CSS("#text"), "ond tab\n"))
	await(t, ann, said("hello from the second tab", false))
	await(t, bob, said("hello from the second tab", true))
	await(t, ann, `document.querySelector("#typing").textContent === ""`)

	// Text is text.
	says(t, ann, `<img src=x onerror="document.title='hacked'"> <b>bold</b>`)
	await(t, bob, said(`<img src=x onerror="document.title='hacked'"> <b>bold</b>`, false))
	require.Zero(t, eval[int](t, bob, `document.querySelectorAll("#messages b, #messages img, #people b").length`))
	require.Equal(t, "Speaking Tube board", eval[string](t, bob, `document.title`))

	// Lines.
	require.Zero(t, eval[int](t, bob, inked))
	draws(t, ann, 6, 3, 60, func(at float64) (x, y float64) { // a wave
		return 0.08 + 0.84*at, 0.72 + 0.06*math.Sin(at*6*math.Pi)
	})
	await(t, bob, inked+` > 10`)
	await(t, ann, inked+` > 10`)
	draws(t, bob, 3, 3, 40, func(at float64) (x, y float64) { // a sun
		return 0.76 + 0.07*math.Cos(at*2*math.Pi), 0.24 + 0.11*math.Sin(at*2*math.Pi)
	})
	draws(t, bob, 2, 2, 30, func(at float64) (x, y float64) { // a sail
		return 0.3 + 0.14*at, 0.28 + 0.32*at*at
	})
	draws(t, bob, 1, 2, 30, func(at float64) (x, y float64) { // a mast and a hull
		if at < 0.4 {
			return 0.3, 0.25 + 0.375*at/0.4
		}
		return 0.2 + 0.25*(at-0.4)/0.6, 0.62 + 0.05*math.Sin((at-0.4)/0.6*math.Pi)
	})
	await(t, ann, inked+` === `+fmt.Sprint(eval[int](t, bob, inked)))
	do(t, bob, chromedp.SendKeys(chromedp.CSS("#text"), "and a"))
	await(t, ann, `document.querySelector("#typing").textContent !== ""`)

	// The replay is this tab's alone, and can be stopped.
	do(t, ann, chromedp.Click(chromedp.CSS("#replay")))
	await(t, ann, `!document.querySelector("#playing").hidden && document.querySelector("#progress").value >= 0.5`)
	screenshot(t, ann, "hub.png")
	require.True(t, eval[bool](t, bob, `document.querySelector("#playing").hidden`))
	await(t, ann, `document.querySelector("#playing").hidden`)
	require.Regexp(t, `^(\d+) of (\d+)$`, eval[string](t, ann, `document.querySelector("#played").textContent`))
	require.True(t, eval[bool](t, ann, `document.querySelector("#progress").value === 1`))
	do(t, ann, chromedp.Click(chromedp.CSS("#replay")))
	await(t, ann, `!document.querySelector("#playing").hidden`)
	do(t, ann, chromedp.Click(chromedp.CSS("#cancel")))
	await(t, ann, `document.querySelector("#playing").hidden`)

	// Who comes later finds what is there.
	eve := tab(t, b, server.url)
	enters(t, eve, "Eve")
	await(t, eve, inked+` === `+fmt.Sprint(eval[int](t, bob, inked)))
	await(t, eve, said("hello from the second tab", false))
	do(t, eve, chromedp.EmulateViewport(390, 780, chromedp.EmulateMobile, chromedp.EmulateScale(2)))
	require.True(t, eval[bool](t, eve, `document.documentElement.scrollWidth <= innerWidth`), "nothing sticks out sideways")
	screenshot(t, eve, "hub-phone.png")
	require.NoError(t, chromedp.Cancel(eve))
	await(t, ann, notice("Eve has left"))
	await(t, ann, present("Ann", "<b>Bob</b>"))

	do(t, bob, chromedp.Click(chromedp.CSS("#wipe")))
	await(t, ann, inked+` === 0`)
	await(t, ann, notice("<b>Bob</b> has wiped the board"))

	// The server goes and comes back: so do they, by their names.
	server.stop(t)
	await(t, ann, `document.querySelector("#state").dataset.state === "waiting" && document.querySelector("#send").disabled`)
	server = start(t, bin, strings.TrimPrefix(server.url, "http://"))
	for _, tab := range []context.Context{ann, bob} {
		await(t, tab, connected+` && document.querySelector("#count").textContent === "2"`)
	}
	says(t, ann, "back again")
	await(t, bob, said("back again", false))
	server.stop(t)
	require.NotContains(t, server.logs.String(), "level=ERROR")
	require.NotContains(t, server.logs.String(), "level=WARN")
}
