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

// plan is what is done with the commands of all pages, each once.
type plan struct {
	sessions map[string][]command // what clients run, by the server's command, its folder, or first
	apart    []command            // those that need no server
	bin      string               // the folder of the programs, built
}

// All commands of all pages run: servers until they are interrupted, with their clients;
// programs that measure, for a moment; tests as they stand, benchmarks once. A command
// that can't be run stands in notRun, with the reason.
//
// On Linux alone: interrupts are Unix's, and what measures reads /proc. Not with -short:
// they take minutes, and most run what has tests of its own.
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
			t.Parallel() // much of it is waiting
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
	_, others := newPlan(pages(t)) // are TestCommandsRun's to tell
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

// newPlan returns the plan, and what is wrong with it: commands that nothing is known of,
// and lines of our tables that no page needs.
func newPlan(list []page) (p *plan, problems []string) {
	p = &plan{sessions: map[string][]command{}}
	found := map[string]bool{} // of what the tables are about
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

// session sees that a server runs, be it without clients.
func (p *plan) session(server string) {
	p.sessions[server] = append(p.sessions[server], []command(nil)...)
}

// program is what a command runs: the folder of a program of ours, or "go" with its verb.
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

// build builds all programs at once, without what debuggers want, which takes half of the
// linking. The tutorial's listen where a variable says.
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

// file is a program that was built.
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

// missed is what programs that measure end with if a bound was missed: what is measured
// for a moment, on a machine that has other things to do, says nothing.
var missed = regexp.MustCompile(`: \d+ of \d+ bounds missed\n$`)

// patience is how long a command may take: it may have to compile.
const patience = 5 * time.Minute

// command makes a command that runs in the repository's folder, with go.work in effect.
func (p *plan) command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOWORK=")
	return cmd
}

// output runs a command and returns all that it prints.
func (p *plan) output(cmd *exec.Cmd) (string, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// succeed runs a command, which should end with status 0, and returns what it prints.
func (p *plan) succeed(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := p.output(cmd)
	require.NoError(t, err, "%s\n%s", cmd, out)
	return out
}

// missing skips what needs something that this machine does not have, or fails it where
// nothing may be skipped.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("SPEAKINGTUBE_REQUIRE_ALL") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}
