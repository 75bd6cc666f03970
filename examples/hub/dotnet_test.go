package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/internal/exampletest"
	"github.com/speakingtube/speakingtube/pipeline"
	"github.com/speakingtube/speakingtube/wsmanager/hub"
	"github.com/speakingtube/speakingtube/wsmanager/hub/msgpack"
)

// The checks of the .NET client compare this hub with ASP.NET Core. They are programs outside of this repository, with
// the .NET runtime inside: $SPEAKINGTUBE_DOTNET is their folder, by default ../shared/dotnet beside the checkout.
const (
	dotnetFolder  = "SPEAKINGTUBE_DOTNET"
	dotnetServer  = "SPEAKINGTUBE_DOTNET_SERVER" // the address of a server that the checks start, which is this test binary
	dotnetAllowed = "testdata/dotnet-allow.json"
	dotnetJobs    = "4" // checks side by side: most of them wait
)

// Checks that are left out, because they measure time: with a limit of 30 s for what takes 20 s on a machine without load.
const dotnetTimed = `^report 11:`

var renewDotnet = flag.Bool("renew-dotnet", false, "write the differences of TestDotnet to "+dotnetAllowed+"; reasons of new ones have to be added by hand")

// dotnetChecks returns the program that runs the checks. A test that needs it is skipped without it, also if no other test
// may be skipped: it is not published.
func dotnetChecks(t *testing.T) string {
	t.Helper()
	exampletest.Programs(t)
	if system := runtime.GOOS + "/" + runtime.GOARCH; system != "linux/amd64" {
		t.Skip("NOT CHECKED with the .NET client: the bundle is for linux/amd64, this is " + system)
	}
	beside := filepath.Join("..", "..", "..", "shared", "dotnet")
	for _, dir := range []string{os.Getenv(dotnetFolder), beside} {
		run, err := filepath.Abs(filepath.Join(dir, "run"))
		require.NoError(t, err)
		if _, err := os.Stat(run); err == nil && dir != "" {
			return run
		}
	}
	t.Skipf("NOT CHECKED with the .NET client: neither $%s nor %s has it", dotnetFolder, beside)
	return ""
}

// The .NET client sees the same of this hub as of ASP.NET Core, in JSON and in MessagePack, except for the rows of
// testdata/dotnet-allow.json. docs/signalr.md has the differences for readers.
func TestDotnet(t *testing.T) {
	run := dotnetChecks(t)
	t.Parallel()
	srv := httptest.NewServer(dotnetHubs(t))
	t.Cleanup(srv.Close)
	self, err := os.Executable()
	require.NoError(t, err)
	checks := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), run, append([]string{
			"checks", "--hub", srv.URL + "/hub", "--hub-without-stateful", srv.URL + "/simple/hub",
			"--spawn", fmt.Sprintf("env %s=127.0.0.1:{port} '%s'", dotnetServer, self),
			"--protocols", "json,msgpack", "--transports", "WebSockets",
		}, args...)...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		return out.String(), err
	}
	if *renewDotnet {
		renewDotnetAllowed(t, func(file string) (string, error) {
			return checks("--jobs", "1", "--not", dotnetTimed, "--write-allow", file)
		})
	}
	out, err := checks("--jobs", dotnetJobs, "--not", dotnetTimed, "--allow", dotnetAllowed)
	// Many checks have limits of time, which a busy machine may exceed. What fails runs again alone: a difference repeats.
	for range 2 {
		failed := failedChecks(out)
		if err == nil || len(failed) == 0 {
			break
		}
		t.Logf("again, alone: %q\n%s", failed, out)
		out, err = checks("--jobs", "1", "--only", "^("+strings.Join(failed, "|")+")$", "--allow", dotnetAllowed)
	}
	require.NoError(t, err, "%s", out)
	require.Regexp(t, `(?m)^[1-9]\d* passed, 0 failed, \d+ skipped$`, out)
}

var failedCheck = regexp.MustCompile(`(?m)^FAIL  (.*\])`)

// failedChecks returns patterns of the checks that have failed.
func failedChecks(out string) (patterns []string) {
	for _, m := range failedCheck.FindAllStringSubmatch(out, -1) {
		patterns = append(patterns, regexp.QuoteMeta(m[1]))
	}
	return patterns
}

// dotnetDifferences is the file of differences that are allowed.
type dotnetDifferences struct {
	About  string                        `json:"about"`
	Checks map[string][]dotnetDifference `json:"checks"`
}

type dotnetDifference struct {
	Observation string   `json:"observation"`
	Ours        []string `json:"ours"`
	ASPNET      string   `json:"aspnet"`
	Row         int      `json:"row,omitempty"` // of the list of differences that comes with the checks
	Reason      string   `json:"reason"`
	Sometimes   bool     `json:"sometimes,omitempty"`
}

func readDotnetDifferences(t *testing.T, file string) (d dotnetDifferences) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &d), file)
	return d
}

// renewDotnetAllowed writes the differences that the checks see now, with the reasons that the file has. The reason of a new
// one is empty, which the checks refuse.
func renewDotnetAllowed(t *testing.T, checks func(file string) (string, error)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "seen.json")
	out, err := checks(file)
	var failed *exec.ExitError // all differences are failures
	if err != nil {
		require.ErrorAs(t, err, &failed, out)
	}
	seen, known := readDotnetDifferences(t, file), readDotnetDifferences(t, dotnetAllowed)
	seen.About = known.About
	for check, differences := range seen.Checks {
		for i := range differences {
			d := &differences[i]
			d.Reason, d.Sometimes = "", false
			for _, k := range known.Checks[check] {
				if k.Observation == d.Observation {
					d.Row, d.Reason, d.Sometimes = k.Row, k.Reason, k.Sometimes
				}
			}
		}
	}
	for check, differences := range known.Checks { // what happens sometimes may not have happened
		for _, k := range differences {
			if k.Sometimes && !slices.ContainsFunc(seen.Checks[check], func(d dotnetDifference) bool { return d.Observation == k.Observation }) {
				seen.Checks[check] = append(seen.Checks[check], k)
			}
		}
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	require.NoError(t, e.Encode(seen))
	require.NoError(t, os.WriteFile(dotnetAllowed, text.Bytes(), 0o644))
}

// Each allowed difference has a reason, and those that are gone are not in the file any more: TestDotnet fails on them.
func TestDotnetReasons(t *testing.T) {
	for check, differences := range readDotnetDifferences(t, dotnetAllowed).Checks {
		for _, d := range differences {
			require.NotEmpty(t, d.Reason, "%s: %s", check, d.Observation)
			require.NotEmpty(t, d.Ours, "%s: %s", check, d.Observation)
		}
	}
}

// dotnetHubs serves the hubs that the checks need.
func dotnetHubs(t *testing.T) http.Handler {
	t.Helper()
	mux := http.NewServeMux()
	serve := func(path string, change func(*hub.Options)) {
		h, err := newDotnetHub(change)
		require.NoError(t, err)
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			require.NoError(t, h.Shutdown(ctx))
		})
		handler, err := app(h, slog.New(slog.DiscardHandler)).Build()
		require.NoError(t, err)
		mux.Handle(path+"/", http.StripPrefix(path, handler))
	}
	serve("", func(*hub.Options) {})
	serve("/simple", func(o *hub.Options) { o.StatefulReconnect = false })
	return mux
}

// newDotnetHub makes the hub of the example, with the further methods that the checks call.
func newDotnetHub(change func(*hub.Options)) (*hub.Hub, error) {
	b := newBoard()
	m := methods()
	maps.Copy(m, b.methods())
	maps.Copy(m, typedMethods())
	opts := options(slog.New(slog.DiscardHandler), b)
	opts.Protocols = []hub.Protocol{hub.JSON(), msgpack.New(msgpack.Options{Name: msgpack.PascalCase})} // the names of properties
	change(&opts)
	return hub.New(m, opts)
}

// serveDotnet is a server that the checks start and end.
func serveDotnet(addr string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	h, err := newDotnetHub(func(*hub.Options) {})
	if err != nil {
		return err
	}
	handler, err := app(h, log).Build()
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return pipeline.ServeListener(ctx, ln, &http.Server{Handler: handler}, h.Shutdown)
}
