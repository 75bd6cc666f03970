package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
)

// module is the root module's path.
const module = "github.com/speakingtube/speakingtube"

// way is a driver that connections can be served with: tests run on several as subtests
// with its name. Those without one have the name "".
type way struct{ name, short string }

var ways = []way{{"auto", "event loop"}, {"goroutine", "goroutines"}, {"h2", "HTTP/2"}, {"", ""}}

// runs are packages that are tested together. Those of the second run side by side.
var runs = [][]string{
	{"./" + sockets},
	{"./branch/...", "./pipeline/...", "./middleware/...", "./wsmanager/backplanetest", "./wsmanager/extendedconnect/...", "./wsmanager/hub/...", "./wsmanager/internal/...", "./wsmanager/wstest", "."},
}

// covered are the packages whose statements are counted.
var covered = []string{"branch", "pipeline", "wsmanager"}

// caseKey is a top-level test, and the way of its subtests.
type caseKey struct{ way, pkg, test string }

// results is all that came out.
type results struct {
	cases    map[caseKey]int // that passed: innermost subtests, or the test itself
	printed  string          // by the tests
	total    int             // cases of all tests
	coverage coverage
	fuzzed   []fuzzed
	soaked   []soaked
}

// fuzzed is a fuzz target and how many inputs it was given.
type fuzzed struct {
	target
	Inputs uint64
}

type target struct{ pkg, name string }

// soaked is a soak and what it measured.
type soaked struct {
	driver string
	checks []harness.Check
}

func collect(ctx context.Context, cfg config, targets []target, progress io.Writer) (*results, error) {
	r := &results{cases: map[caseKey]int{}, coverage: coverage{}}
	dir, err := os.MkdirTemp("", "reliability")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // it is in the folder for temporary files
	for _, packages := range runs {
		fmt.Fprintln(progress, "tests:", strings.Join(packages, " "))
		if err := r.test(ctx, cfg, packages, filepath.Join(dir, "profile")); err != nil {
			return nil, err
		}
	}
	for _, t := range targets {
		fmt.Fprintln(progress, "fuzzing:", t.pkg, t.name)
		n, err := fuzz(ctx, cfg, t)
		if err != nil {
			return nil, err
		}
		r.fuzzed = append(r.fuzzed, fuzzed{t, n})
	}
	for _, driver := range []string{"eventloop", "goroutine"} {
		fmt.Fprintln(progress, "soaking:", driver)
		checks, err := soak(ctx, cfg, driver)
		if err != nil {
			return nil, err
		}
		r.soaked = append(r.soaked, soaked{driver, checks})
	}
	return r, nil
}

// command is one in the repository's folder.
func command(ctx context.Context, cfg config, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = cfg.root
	cmd.Env = append(os.Environ(), env...)
	return cmd
}

// test runs the tests of packages and counts what passed.
func (r *results) test(ctx context.Context, cfg config, packages []string, profile string) error {
	var patterns []string
	for _, pkg := range covered {
		patterns = append(patterns, "./"+pkg)
	}
	args := append([]string{"go", "test", "-json", "-count=1", "-timeout=20m", "-coverpkg=" + strings.Join(patterns, ","), "-coverprofile=" + profile}, packages...)
	env := []string{"SPEAKINGTUBE_FAULTS=" + cfg.faults.String(), "SPEAKINGTUBE_CHURN=" + cfg.churn.String()}
	cmd := command(ctx, cfg, env, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if bad := r.count(out); bad != "" {
		return fmt.Errorf("tests have failed:\n%s", bad)
	}
	if err != nil {
		return fmt.Errorf("the tests: %w\n%s", err, errs.String())
	}
	text, err := os.ReadFile(profile)
	if err != nil {
		return err
	}
	return r.coverage.add(text)
}

// event is a line of go test -json.
type event struct {
	Action, Package, Test, Output string
}

// count reads what go test -json has printed. It returns what the tests that failed have
// said, or "".
func (r *results) count(out []byte) string {
	var passed []event
	parents, said, failed := map[string]bool{}, map[string]string{}, ""
	var printed strings.Builder
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			failed += lines.Text() + "\n" // it is not go test that says so
			continue
		}
		key := e.Package + " " + e.Test
		switch e.Action {
		case "run":
			for i, r := range e.Test { // a name may have slashes of its own
				if r == '/' {
					parents[e.Package+" "+e.Test[:i]] = true
				}
			}
		case "output":
			printed.WriteString(e.Output)
			said[key] += e.Output
		case "pass":
			passed = append(passed, e)
		case "fail":
			failed += said[key]
		}
	}
	r.printed += printed.String()
	for _, e := range passed {
		if e.Test == "" || parents[e.Package+" "+e.Test] {
			continue
		}
		r.total++
		test, rest, _ := strings.Cut(e.Test, "/")
		name, _, _ := strings.Cut(rest, "/")
		if !slices.ContainsFunc(ways, func(w way) bool { return w.name == name }) {
			name = ""
		}
		r.cases[caseKey{name, strings.TrimPrefix(e.Package, module+"/"), test}]++
	}
	return failed
}

// function finds tests and fuzz targets.
var function = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)

// functions are the tests and fuzz targets of the root module, by their package's folder.
func functions(root string) (map[string][]string, error) {
	all := map[string][]string{}
	for _, top := range []string{"branch", "middleware", "pipeline", "wsmanager"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			pkg, err := filepath.Rel(root, filepath.Dir(path))
			for _, m := range function.FindAllSubmatch(text, -1) {
				all[filepath.ToSlash(pkg)] = append(all[filepath.ToSlash(pkg)], string(m[1]))
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// fuzzTargets are all that there are.
func fuzzTargets(root string) (list []target, err error) {
	all, err := functions(root)
	for pkg, names := range all {
		for _, name := range names {
			if strings.HasPrefix(name, "Fuzz") {
				list = append(list, target{pkg, name})
			}
		}
	}
	slices.SortFunc(list, func(a, b target) int { return strings.Compare(a.pkg+" "+a.name, b.pkg+" "+b.name) })
	return list, err
}

var execs = regexp.MustCompile(`execs: (\d+)`)

// fuzz runs a target and returns how many inputs it was given.
func fuzz(ctx context.Context, cfg config, t target) (uint64, error) {
	out, err := command(ctx, cfg, nil, "go", "test", "-run=^$", "-fuzz=^"+t.name+"$", "-fuzztime="+cfg.fuzzTime.String(), "./"+t.pkg).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%s of %s: %w\n%s", t.name, t.pkg, err, out)
	}
	all := execs.FindAllSubmatch(out, -1)
	if len(all) == 0 {
		return 0, fmt.Errorf("%s of %s says of no input:\n%s", t.name, t.pkg, out)
	}
	return number(string(all[len(all)-1][1])), nil
}

// soak runs the program soak.
func soak(ctx context.Context, cfg config, driver string) ([]harness.Check, error) {
	cmd := command(ctx, cfg, nil, "go", "run", "./examples/benchmarks/soak", "-json", "-driver", driver, "-duration", cfg.soak.String(), "-warm-up", min(cfg.soak/3, 20e9).String())
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("soak with the driver %s: %w\n%s%s", driver, err, out, errs.String())
	}
	var res struct{ Checks []harness.Check }
	return res.Checks, json.Unmarshal(out, &res)
}

// number is what a pattern has found: digits.
func number(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64) // digits, and not that many
	return n
}

// thousands is a number for people.
func thousands(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// machine says where figures come from.
func machine() string {
	return fmt.Sprintf("%s, %s/%s, %d processors", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
}
