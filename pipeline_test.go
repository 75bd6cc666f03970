// Package speakingtube_test tests a service that uses all packages, over real HTTP, and the
// repository's rules.
package speakingtube_test

import (
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/middleware"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

func TestMain(m *testing.M) { wstest.Main(m) }

// steps records the output of the components of article 003.
type steps struct {
	mu   sync.Mutex
	list []string
}

func (s *steps) print(n string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, n)
}

// take returns the output since the last call.
func (s *steps) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := strings.Join(s.list, " ")
	s.list = nil
	return out
}

// around prints before and after the rest of the pipeline.
func (s *steps) around(before, after string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		s.print(before)
		next.ServeHTTP(w, r)
		s.print(after)
	}
}

// wrap writes before and after the rest of the pipeline.
func wrap(before, after string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		_, _ = io.WriteString(w, before)
		next.ServeHTTP(w, r)
		_, _ = io.WriteString(w, after)
	}
}

func say(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
}

// room is a chat room as in article 000.
func room() *wsmanager.Manager {
	return wsmanager.MustNew(wsmanager.Callbacks{
		OnConnect: func(c *wsmanager.Conn) error {
			c.Manager().Broadcast(wsmanager.Text(c.ID() + " is now connected"))
			return nil
		},
		OnMessage: func(c *wsmanager.Conn, m wsmanager.Message) error {
			c.Manager().Broadcast(wsmanager.Text(c.ID() + " said: " + string(m.Payload)))
			return nil
		},
		OnClose: func(c *wsmanager.Conn, _ error) {
			c.Manager().Broadcast(wsmanager.Text(c.ID() + " disconnected"))
		},
	}, wsmanager.Options{Logger: slog.New(slog.DiscardHandler)})
}

// TestJourney is one service with all packages, as a client sees it.
func TestJourney(t *testing.T) {
	var s steps
	chat, test := room(), room()
	app := pipeline.New()
	app.Use(middleware.Recover(middleware.RecoverOptions{Logger: slog.New(slog.DiscardHandler)}), middleware.ResponseTime)
	app.Mount("/ws", chat)
	app.Mount("/test", test)
	app.Map("/order", func(b *pipeline.Builder) {
		b.UseFunc(s.around("1", "8")).UseFunc(s.around("2", "7")).UseFunc(s.around("3", "6"))
		b.UseFunc(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { // does not call next
			s.print("4")
			s.print("5")
			_, _ = io.WriteString(w, "in order")
		})
		b.UseFunc(s.around("never", "reached"))
	})
	app.Map("/panic", func(b *pipeline.Builder) { b.RunFunc(func(http.ResponseWriter, *http.Request) { panic("oops") }) })
	app.UseFunc(wrap("===", "===")).UseFunc(wrap(">>>>>> ", " <<<<<<"))
	app.Map("/map1", func(b *pipeline.Builder) { b.RunFunc(say("Map Test 1")) })
	app.Map("/map2", func(b *pipeline.Builder) { b.RunFunc(say("Map Test 2")) })
	app.MapWhen(branch.Query("branch"), func(b *pipeline.Builder) { b.RunFunc(say("MapBranch Test")) })
	app.RunFunc(say("Hello World!"))

	h, err := app.Build()
	require.NoError(t, err)
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	get := func(target string) (*http.Response, string) {
		res, err := srv.Client().Get(srv.URL + target)
		require.NoError(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res, string(body)
	}

	t.Run("components run in order and unwind in reverse", func(t *testing.T) {
		_, body := get("/order")
		require.Equal(t, "in order", body)
		require.Equal(t, "1 2 3 4 5 6 7 8", s.take())
	})
	t.Run("branches", func(t *testing.T) {
		for target, want := range map[string]string{
			"/":          "===>>>>>> Hello World! <<<<<<===",
			"/map1":      "===>>>>>> Map Test 1 <<<<<<===",
			"/map2/x":    "===>>>>>> Map Test 2 <<<<<<===",
			"/?branch=x": "===>>>>>> MapBranch Test <<<<<<===",
		} {
			_, body := get(target)
			require.Equal(t, want, body)
		}
	})
	t.Run("a panic is a 500 and the server continues", func(t *testing.T) {
		for range 2 {
			res, body := get("/panic")
			require.Equal(t, 500, res.StatusCode)
			require.Equal(t, `{"type":"about:blank","title":"Internal Server Error","status":500}`+"\n", body)
			res, _ = get("/")
			require.Equal(t, 200, res.StatusCode)
		}
	})
	t.Run("the timing header on a normal answer", func(t *testing.T) {
		res, _ := get("/")
		require.Regexp(t, `^\d+ms$`, res.Header.Get("X-Response-Time"))
	})
	t.Run("sockets, in two rooms", func(t *testing.T) {
		join := func(path string) (*wstest.Client, string) {
			c := wstest.Dial(t, srv.URL+path, nil)
			require.Regexp(t, `^\d+ms$`, c.Response.Header.Get("X-Response-Time"), "the timing header on a 101")
			id, ok := strings.CutSuffix(c.Text(), " is now connected")
			require.True(t, ok)
			return c, id
		}
		ann, annID := join("/ws")
		bob, bobID := join("/ws")
		ann.ExpectText(bobID + " is now connected")
		eve, eveID := join("/test")
		ann.SendText("hello")
		ann.ExpectText(annID + " said: hello")
		bob.ExpectText(annID + " said: hello")
		eve.SendText("alone")
		eve.ExpectText(eveID + " said: alone") // and no message of the other room before
		bob.SendClose(1000, "")
		bob.ExpectClose(1000)
		ann.ExpectText(bobID + " disconnected")
	})
	t.Run("the drain", func(t *testing.T) {
		ann := wstest.Dial(t, srv.URL+"/ws", nil)
		ended := make(chan error, 2)
		for _, m := range []*wsmanager.Manager{chat, test} {
			go func() { ended <- m.Shutdown(t.Context()) }()
		}
		ann.ExpectClose(1001)
		for range 2 {
			require.NoError(t, <-ended)
		}
	})
}

// The README's program compiles, serves, and ends with Ctrl-C.
func TestREADMEProgram(t *testing.T) {
	program := codeBlock(t, "README.md", "package main")
	require.LessOrEqual(t, strings.Count(program, "\n"), 45, "it should stay short")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := ln.Addr().String()
	require.NoError(t, ln.Close())

	dir := t.TempDir()
	main, bin := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
	require.NoError(t, os.WriteFile(main, []byte(strings.ReplaceAll(program, "127.0.0.1:8080", addr)), 0o644))
	out, err := exec.Command("go", "build", "-o", bin, main).CombinedOutput()
	require.NoError(t, err, "%s", out)
	cmd := exec.Command(bin)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // ended already, or must end now
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, wstest.Patience, 5*time.Millisecond)

	c := wstest.Dial(t, "http://"+addr+"/ws", nil)
	c.SendText("hello")
	c.ExpectText("hello")
	res, err := http.Get("http://" + addr + "/?count")
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, "1 connected\n", string(body))
	http.DefaultClient.CloseIdleConnections()
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	c.ExpectClose(1001)
	require.NoError(t, cmd.Wait())
}

// codeBlock returns the Go block of a document that contains the given text.
func codeBlock(t *testing.T, file, contains string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, block := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		if strings.Contains(block[1], contains) {
			return block[1]
		}
	}
	t.Fatalf("%s has no Go block with %q", file, contains)
	return ""
}

const module = "github.com/speakingtube/speakingtube"

// imports lists, for each package of this repository, the ones that it may import. An
// example may import all.
var imports = map[string][]string{
	"branch":     {"internal/httpx", "internal/pathguard"},
	"pipeline":   {"branch", "internal/httpx", "internal/logattrs"},
	"middleware": {"pipeline", "branch", "internal/httpx", "internal/logattrs", "internal/pathguard"},
	"wsmanager": {
		"internal/httpx", "internal/logattrs", "wsmanager/internal/activity", "wsmanager/internal/admission", "wsmanager/internal/backoff", "wsmanager/internal/broadcast", "wsmanager/internal/clientqueue", "wsmanager/internal/connid", "wsmanager/internal/counters", "wsmanager/internal/deflate",
		"wsmanager/internal/evloop", "wsmanager/internal/extconnect",
		"wsmanager/internal/frame", "wsmanager/internal/handshake", "wsmanager/internal/names", "wsmanager/internal/outbox", "wsmanager/internal/pings", "wsmanager/internal/ratelimit",
		"wsmanager/internal/registry", "wsmanager/internal/sender", "wsmanager/internal/timewheel", "wsmanager/internal/transport",
	},
	"wsmanager/wstest": nil,
	"wsmanager/hub": {
		"internal/httpx", "wsmanager", "wsmanager/hub/dotnet",
		"wsmanager/hub/internal/cutter", "wsmanager/hub/internal/fields", "wsmanager/hub/internal/jsonscan", "wsmanager/hub/internal/lazyctx",
		"wsmanager/hub/internal/pace", "wsmanager/hub/internal/token", "wsmanager/hub/internal/transcode", "wsmanager/hub/internal/typescript",
	},

	"wsmanager/hub/internal/cutter":    {},
	"wsmanager/hub/internal/fields":    {},
	"wsmanager/hub/internal/jsonscan":  nil,
	"wsmanager/hub/internal/lazyctx":   nil,
	"wsmanager/hub/internal/mpack":     {},
	"wsmanager/hub/internal/pace":      nil,
	"wsmanager/hub/internal/transcode": {"wsmanager/hub/internal/mpack"},

	"wsmanager/hub/dotnet":    {"wsmanager/hub/internal/mpack"},
	"wsmanager/hub/hubtest":   {"wsmanager", "wsmanager/hub", "wsmanager/wstest"},
	"wsmanager/hub/msgpack":   {"wsmanager", "wsmanager/hub", "wsmanager/hub/internal/fields", "wsmanager/hub/internal/mpack", "wsmanager/hub/internal/transcode"},
	"wsmanager/backplanetest": {"wsmanager", "wsmanager/wstest"},

	// Any other importer would enable it for all of its own importers.
	"wsmanager/extendedconnect": {"wsmanager/extendedconnect/internal/early", "wsmanager/internal/extconnect"},

	"internal/h2test":                    nil,
	"internal/hubtypes":                  {"wsmanager/hub", "wsmanager/hub/dotnet"},
	"pipeline/pipelinetest":              nil,
	"wsmanager/hub/internal/token":       {"internal/httpx"},
	"wsmanager/hub/internal/typescript":  {"wsmanager/hub/internal/fields"},
	"wsmanager/internal/activity":        nil,
	"wsmanager/internal/backoff":         nil,
	"wsmanager/internal/connid":          nil,
	"wsmanager/internal/counters":        nil,
	"wsmanager/internal/evloop":          nil,
	"wsmanager/internal/names":           nil,
	"wsmanager/internal/bytepool":        nil,
	"wsmanager/internal/outbox":          {"wsmanager/internal/bytepool"},
	"wsmanager/internal/pings":           nil,
	"wsmanager/internal/ratelimit":       nil,
	"wsmanager/internal/registry":        nil,
	"wsmanager/internal/stepclock":       nil,
	"wsmanager/internal/timewheel":       nil,
	"wsmanager/internal/transport":       {"wsmanager/internal/evloop"},
	"wsmanager/internal/frame":           {"wsmanager/internal/bytepool"},
	"wsmanager/internal/deflate":         {"internal/httpx", "wsmanager/internal/frame"},
	"wsmanager/internal/frame/frametest": {"wsmanager/internal/frame"},
	"internal/httpx":                     nil,
	"internal/logattrs":                  nil,
	"internal/pathguard":                 {"internal/httpx"},
	"internal/release":                   nil,
	"internal/wordlint":                  nil,

	"wsmanager/internal/broadcast": {
		"wsmanager/internal/activity", "wsmanager/internal/counters", "wsmanager/internal/frame", "wsmanager/internal/timewheel",
	},
	"wsmanager/internal/sender": {
		"wsmanager/internal/activity", "wsmanager/internal/bytepool", "wsmanager/internal/counters", "wsmanager/internal/frame", "wsmanager/internal/outbox",
		"wsmanager/internal/timewheel", "wsmanager/internal/transport",
	},
	"wsmanager/internal/admission":             {"wsmanager/internal/activity"},
	"wsmanager/internal/clientqueue":           {"wsmanager/internal/counters", "wsmanager/internal/sender"},
	"wsmanager/internal/handshake":             {"internal/httpx", "wsmanager/internal/transport"},
	"wsmanager/extendedconnect/internal/early": nil,
	"wsmanager/internal/extconnect":            nil,
}

// onlyImporters lists, for packages of others, the files of the root module that may import
// them.
var onlyImporters = map[string][]string{
	"github.com/justinas/alice":              {"pipeline/build.go"},
	"github.com/felixge/httpsnoop":           {"pipeline/response_hooks.go", "middleware/statuspages.go", "middleware/bodylimitfirm.go"},
	"github.com/gobwas/ws":                   {"wsmanager/"},
	"github.com/stretchr/testify":            nil, // only tests
	"golang.org/x/":                          {"wsmanager/", "examples/loadtest/", "internal/h2test/"},
	module + "/internal/h2test":              nil, // only tests
	module + "/wsmanager/internal/stepclock": nil, // only tests
}

func TestImportDirections(t *testing.T) {
	for dir, files := range goFiles(t) {
		for _, file := range files {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			require.NoError(t, err)
			for _, spec := range f.Imports {
				path, err := strconv.Unquote(spec.Path.Value)
				require.NoError(t, err)
				if ours, ok := strings.CutPrefix(path, module+"/"); ok && !strings.HasPrefix(dir, "examples/") {
					require.Contains(t, imports, dir, "%s: add its allowed imports to the map imports", dir)
					require.Contains(t, imports[dir], ours, "%s imports %s", file, ours)
				}
				for prefix, by := range onlyImporters {
					if strings.HasPrefix(path, prefix) && !isNested(dir) {
						may := slices.ContainsFunc(by, func(name string) bool { return strings.HasPrefix(file, name) })
						require.True(t, may, "%s imports %s: only %s may", file, path, by)
					}
				}
			}
		}
	}
}

// isNested reports whether a folder belongs to a module of its own, whose requirements are
// not restricted.
func isNested(dir string) bool {
	for ; dir != "."; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return true
		}
	}
	return false
}

func TestEveryPackageHasOnePackageDoc(t *testing.T) {
	for dir, files := range goFiles(t) {
		var docs []string
		for _, file := range files {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.PackageClauseOnly)
			require.NoError(t, err)
			if f.Doc.Text() != "" {
				docs = append(docs, file)
			}
		}
		require.Len(t, docs, 1, dir)
	}
}

// goFiles returns the Go files of the library by folder, without tests.
func goFiles(t *testing.T) map[string][]string {
	t.Helper()
	files := map[string][]string{}
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || len(path) > 1 && strings.HasPrefix(d.Name(), ".")) {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			dir := filepath.ToSlash(filepath.Dir(path))
			files[dir] = append(files[dir], filepath.ToSlash(path))
		}
		return nil
	}))
	for dir := range imports {
		require.NotEmpty(t, files[dir], "the package %s does not exist", dir)
	}
	return files
}

// The core stays light: the direct requirements of the root module.
func TestRootModuleRequires(t *testing.T) {
	text, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	allowed := regexp.MustCompile(`^(github\.com/(justinas/alice|gobwas/ws|felixge/httpsnoop|stretchr/testify)|golang\.org/x/\w+) v\S+$`)
	seen := 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if !strings.Contains(line, " v") || strings.HasSuffix(line, "// indirect") {
			continue
		}
		require.Regexp(t, allowed, line)
		seen++
	}
	require.GreaterOrEqual(t, seen, 4)
}

// A document that names a test as its proof names an existing one.
func TestProofsExist(t *testing.T) {
	there := map[string]bool{}
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllSubmatch(text, -1) {
			there[string(m[1])] = true
		}
		return err
	}))
	documents, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	named := 0
	for _, file := range documents {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+)`").FindAllSubmatch(text, -1) {
			require.True(t, there[string(m[1])], "%s names %s, which does not exist", file, m[1])
			named++
		}
	}
	require.Greater(t, named, 50)
}

// Every nested module is in go.work, so that "go test work" covers it.
func TestEveryModuleIsInTheWorkspace(t *testing.T) {
	work, err := os.ReadFile("go.work")
	require.NoError(t, err)
	found := 0
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "node_modules" {
			return fs.SkipDir
		}
		if err == nil && d.Name() == "go.mod" && path != "go.mod" {
			found++
			require.Contains(t, string(work), "./"+filepath.ToSlash(filepath.Dir(path))+"\n")
		}
		return err
	}))
	require.Positive(t, found)
}
