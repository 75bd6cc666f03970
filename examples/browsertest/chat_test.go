package browsertest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// program is a running example.
type program struct {
	url  string
	cmd  *exec.Cmd
	logs *strings.Builder
	done chan struct{}
}

// build compiles an example.
func build(t *testing.T, example string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), example)
	cmd := exec.Command("go", "build", "-o", bin, ".")
	cmd.Dir = filepath.Join("..", example) // of the root module, or a module of its own
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return bin
}

// start runs the program until stop or the end of the test.
func start(t *testing.T, bin, addr string, args ...string) *program {
	t.Helper()
	cmd := exec.Command(bin, append(args, "-addr", addr)...)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p := &program{cmd: cmd, logs: &strings.Builder{}, done: make(chan struct{})}
	serving := make(chan string, 1)
	go func() {
		defer close(p.done)
		for sc := bufio.NewScanner(stdout); sc.Scan(); {
			if m := regexp.MustCompile(`^serving (http://\S+)`).FindStringSubmatch(sc.Text()); m != nil {
				serving <- m[1]
			}
			fmt.Fprintln(p.logs, sc.Text())
		}
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-p.done }) // it has exited, or must exit now
	select {
	case p.url = <-serving:
	case <-time.After(patience):
		t.Fatal("the program printed no address")
	}
	return p
}

// stop interrupts the program, as Ctrl-C does, and requires status 0.
func (p *program) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(os.Interrupt))
	<-p.done
	require.NoError(t, p.cmd.Wait(), "the program drains and ends with status 0:\n%s", p.logs)
}

const (
	connected = `document.querySelector("#state").dataset.state === "connected"`
	myID      = `document.querySelector("#members li:has(.you)")?.dataset.id ?? ""`
)

// typeMessage types a message and sends it.
func typeMessage(t *testing.T, tab context.Context, text string) {
	t.Helper()
	do(t, tab, chromedp.SendKeys(chromedp.CSS("#text"), text+"\n"))
}

// awaitMessage waits until a message of the connection id is on the page.
func awaitMessage(t *testing.T, tab context.Context, id, text string) {
	t.Helper()
	await(t, tab, fmt.Sprintf(`[...document.querySelectorAll("#messages li")].some(li => li.dataset.id === %q && li.querySelector(".body")?.textContent === %q)`, id, text))
}

func members(n int) string {
	return fmt.Sprintf(`document.querySelectorAll("#members li").length === %d && document.querySelector("#count").textContent === "%d"`, n, n)
}

// Two people talk in a real browser, and the other room does not receive it. After a
// restart of the server their pages reconnect.
func TestChat(t *testing.T) {
	b := browser(t)
	bin := build(t, "chat")
	server := start(t, bin, "127.0.0.1:0")

	ann := openTab(t, b, server.url)
	await(t, ann, connected+" && "+members(1))
	bob := openTab(t, b, server.url+"/#ws")
	await(t, bob, connected+" && "+members(2))
	await(t, ann, members(2))
	eve := openTab(t, b, server.url+"/#test")
	await(t, eve, connected+" && "+members(1))
	await(t, ann, myID+` !== ""`)
	await(t, bob, myID+` !== ""`)
	annID, bobID := eval[string](t, ann, myID), eval[string](t, bob, myID)
	require.NotEqual(t, annID, bobID)

	typeMessage(t, ann, "hello from the first tab")
	awaitMessage(t, ann, annID, "hello from the first tab")
	awaitMessage(t, bob, annID, "hello from the first tab")
	require.True(t, eval[bool](t, ann, `document.querySelector("#messages li.mine .body").textContent === "hello from the first tab"`))
	typeMessage(t, bob, "and hello from the second")
	awaitMessage(t, ann, bobID, "and hello from the second")

	// Messages are shown as text, not as HTML.
	typeMessage(t, bob, `<img src=x onerror="document.title='hacked'"> <b>bold</b>`)
	awaitMessage(t, ann, bobID, `<img src=x onerror="document.title='hacked'"> <b>bold</b>`)
	require.Zero(t, eval[int](t, ann, `document.querySelectorAll("#messages b, #messages img").length`))

	// The other room receives none of it.
	typeMessage(t, eve, "anybody here?")
	await(t, eve, `document.querySelector("#messages .body")?.textContent === "anybody here?"`)
	require.NotContains(t, eval[string](t, eve, `document.body.textContent`), "hello from")
	require.NotContains(t, eval[string](t, ann, `document.body.textContent`), "anybody")
	screenshot(t, ann, "chat.png")

	// Switching rooms leaves one and enters the other.
	do(t, bob, chromedp.Click(chromedp.CSS(`nav a[data-room="test"]`)))
	await(t, bob, connected+" && "+members(2))
	await(t, eve, members(2))
	await(t, ann, members(1))
	await(t, ann, fmt.Sprintf(`[...document.querySelectorAll(".notice")].filter(li => li.textContent.startsWith(%q)).length === 1`, bobID+" disconnected"))

	// On a phone.
	do(t, eve, chromedp.EmulateViewport(390, 780, chromedp.EmulateMobile, chromedp.EmulateScale(2)))
	require.True(t, eval[bool](t, eve, `document.documentElement.scrollWidth <= innerWidth`), "nothing sticks out sideways")
	screenshot(t, eve, "chat-phone.png")

	// The server restarts.
	server.stop(t)
	await(t, ann, `document.querySelector("#state").dataset.state === "waiting"`)
	require.True(t, eval[bool](t, ann, `document.querySelector("#send").disabled`))
	screenshot(t, ann, "chat-reconnecting.png")
	server = start(t, bin, strings.TrimPrefix(server.url, "http://"))
	await(t, ann, connected+" && "+members(1))
	await(t, bob, connected+" && "+members(2))
	await(t, ann, myID+` !== ""`)
	typeMessage(t, ann, "back again")
	awaitMessage(t, ann, eval[string](t, ann, myID), "back again")
	require.Equal(t, 2, eval[int](t, ann, `document.querySelectorAll("#messages li.mine").length`), "what it said before is still its own")

	// A closed tab leaves the room once.
	extra := openTab(t, b, server.url)
	await(t, ann, members(2))
	require.NoError(t, chromedp.Cancel(extra))
	await(t, ann, members(1))
	server.stop(t)
	require.NotContains(t, server.logs.String(), "level=ERROR")
	require.NotContains(t, server.logs.String(), "level=WARN")
}

// A page of another origin can't connect from the visitor's browser.
func TestForeignPageIsRefused(t *testing.T) {
	b := browser(t)
	chat := start(t, build(t, "chat"), "127.0.0.1:0")
	foreign := start(t, build(t, "hello"), "127.0.0.1:0") // another port is another origin
	page := openTab(t, b, foreign.url)
	ws := "ws" + strings.TrimPrefix(chat.url, "http") + "/ws"
	outcome := fmt.Sprintf(`new Promise(done => { const s = new WebSocket(%q); s.onopen = () => done("open"); s.onclose = e => done("closed " + e.code) })`, ws)
	require.Equal(t, "closed 1006", eval[string](t, page, outcome))
	res, err := http.Get(chat.url + "/members?room=ws")
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.JSONEq(t, "[]", string(body))
	chat.stop(t)
	require.Regexp(t, `msg="websocket refused" room=ws .*response.status=403`, chat.logs.String())
}
