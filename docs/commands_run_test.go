//go:build linux

package docs_test

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// plan says how the commands of all pages are run, each once.
type plan struct {
	sessions map[string][]command // commands of clients, by the server's command, its directory, or first
	apart    []command            // commands that need no server
	bin      string               // directory of the built programs
}

// All commands of all pages run: servers with their clients until they are interrupted,
// measurement programs with short settings, tests unchanged, benchmarks once. notRun lists
// the commands that can't be run, with the reason.
//
// It runs on Linux only, because it uses Unix interrupts and the measurement programs read
// /proc. -short skips it: it takes minutes, and most of the programs have tests of their
// own.
func TestCommandsRun(t *testing.T) {
	if testing.Short() {
		t.Skip("-short leaves out the commands of the pages")
	}
	p, problems := newPlan(pages(t))
	for _, problem := range problems {
		t.Error(problem)
	}
	p.build(t)
	for _, c := range p.apart {
		t.Run(c.line, func(t *testing.T) {
			t.Parallel() // mostly waiting
			p.run(t, c)
		})
	}
	for server, clients := range p.sessions {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			p.serve(t, server, clients)
		})
	}
}

func TestPlanFindsMistakes(t *testing.T) {
	_, others := newPlan(pages(t)) // TestCommandsRun reports them
	_, problems := newPlan(append(pages(t), page{"x.md", "`go run ./examples/nowhere`, `curl http://127.0.0.1:8080/`, `npm install y`"}))
	problems = slices.DeleteFunc(problems, func(p string) bool { return slices.Contains(others, p) })
	require.Equal(t, []string{
		"x.md: go run ./examples/nowhere: nothing says how to run it: see servers, short and notRun",
		"x.md: curl http://127.0.0.1:8080/: nothing says what serves it: see behind",
		"x.md: npm install y: nothing says how to run it: see servers, short and notRun",
	}, problems)

	_, problems = newPlan(nil)
	require.Len(t, problems, len(notRun)+len(inOwnModule)+len(behind)+len(before)+len(servers)+len(short))
	require.Contains(t, problems, "no page has .ci/run any more")
}

// newPlan returns the plan and its problems: commands that are in none of the tables, and
// lines of the tables that no page needs.
func newPlan(list []page) (p *plan, problems []string) {
	p = &plan{sessions: map[string][]command{}}
	found := map[string]bool{} // keys of the tables that occur on a page
	seen := map[string]bool{}
	for _, page := range list {
		dirs := map[string]string{}
		if page.path == tutorial {
			dirs = steps(page)
		}
		last := "" // the server that was started last
		for _, c := range page.commands() {
			program, args := c.program()
			server := cmp.Or(behind[c.line], dirs[c.heading], last)
			found[c.line], found[program] = true, true
			switch {
			case notRun[c.line] != "":
			case slices.Contains(inOwnModule, c.line):
				p.session(first)
			case servers[program] != 0:
				last = c.line
				p.session(last)
			case strings.HasPrefix(program, "./examples/tutorial/"):
				p.session(program)
			case address.MatchString(strings.Join(args, " ")):
				if server == "" {
					problems = append(problems, c.page+": "+c.line+": nothing says what serves it: see behind")
				} else if !seen[server+c.line] {
					seen[server+c.line] = true
					p.sessions[server] = append(p.sessions[server], c)
				}
			case seen[c.line]:
			case short[program] != nil || program == "go test" || program == "go install":
				seen[c.line] = true
				p.apart = append(p.apart, c)
			default:
				problems = append(problems, c.page+": "+c.line+": nothing says how to run it: see servers, short and notRun")
			}
		}
	}
	for _, what := range slices.Concat(inOwnModule, slices.Sorted(maps.Keys(notRun)), slices.Sorted(maps.Keys(behind)),
		slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(servers)), slices.Sorted(maps.Keys(short))) {
		if !found[what] {
			problems = append(problems, "no page has "+what+" any more")
		}
	}
	return p, problems
}

// session makes sure that a server is started, even without clients.
func (p *plan) session(server string) {
	p.sessions[server] = append(p.sessions[server], []command(nil)...)
}

// program returns the program that a command runs, with its arguments: the directory of one
// of our programs, or "go" with its verb.
func (c command) program() (string, []string) {
	switch {
	case c.args[0] == "loadtest":
		return "./examples/loadtest", c.args[1:]
	case c.args[0] != "go":
		return c.args[0], c.args[1:]
	case c.args[1] == "run":
		return c.args[2], c.args[3:]
	}
	return "go " + c.args[1], c.args[2:]
}

// build builds all programs at once, without debug information, which halves the linking
// time. The tutorial's programs listen at the address in an environment variable.
func (p *plan) build(t *testing.T) {
	p.bin = t.TempDir()
	dirs := map[string]bool{}
	for server, clients := range p.sessions {
		dirs[strings.Fields(strings.TrimPrefix(server, "go run "))[0]] = true
		for _, c := range clients {
			program, _ := c.program()
			dirs[program] = true
		}
	}
	for _, c := range p.apart {
		program, _ := c.program()
		dirs[program] = true
	}
	args := []string{"build", "-ldflags=-s -w", "-o", p.bin + string(filepath.Separator), "-overlay", overlay(t)}
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		if strings.HasPrefix(dir, "./") {
			args = append(args, dir)
		}
	}
	p.succeed(t, p.command(t, "go", args...))
}

// file returns the name of a built program.
func (p *plan) file(program string) string { return filepath.Join(p.bin, path.Base(program)) }

// run runs a command that needs no server.
func (p *plan) run(t *testing.T, c command) {
	program, args := c.program()
	var cmd *exec.Cmd
	switch program {
	case "go test":
		at := slices.IndexFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "./") })
		require.GreaterOrEqual(t, at, 0, "it names no package")
		once := []string{"-count", "1"}
		if slices.Contains(args, "-bench") {
			once = append(once, "-benchtime", "1x")
		}
		cmd = p.command(t, "go", slices.Concat([]string{"test"}, args[:at], once, args[at:])...)
	case "go install":
		cmd = p.command(t, "go", c.args[1:]...)
		cmd.Env = append(cmd.Env, "GOBIN="+t.TempDir())
	default:
		cmd = p.command(t, p.file(program), slices.Concat(args, short[program])...)
	}
	cmd.Env = append(cmd.Env, c.env...)
	out, err := p.output(cmd)
	if err != nil && !missed.MatchString(out) {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	require.NotContains(t, out, "no tests to run")
	if slices.Contains(args, "-bench") {
		require.Contains(t, out, "ns/op")
	}
	require.True(t, out != "" || program == "go install" || slices.Contains(short[program], "-check"), "nothing was printed")
}

// missed matches the last line of a measurement program that missed a bound. That is no
// failure here: a short measurement on a busy machine is not significant.
var missed = regexp.MustCompile(`: \d+ of \d+ bounds missed\n$`)

// patience is the time limit of a command, which may have to compile.
const patience = 5 * time.Minute

// command returns a command that runs in the root directory with go.work in effect.
func (p *plan) command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOWORK=")
	return cmd
}

// output runs a command and returns its standard output and standard error.
func (p *plan) output(cmd *exec.Cmd) (string, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// succeed runs a command that must exit with status 0, and returns its output.
func (p *plan) succeed(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := p.output(cmd)
	require.NoError(t, err, "%s\n%s", cmd, out)
	return out
}

// missing skips a test for a program that this machine lacks, or fails it if
// SPEAKINGTUBE_REQUIRE_ALL is set.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("SPEAKINGTUBE_REQUIRE_ALL") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}
