package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Flags of go test, and of other go commands before a package, that pages may use, with
// and without a value.
var (
	withValue = map[string]bool{"run": true, "bench": true, "count": true, "shuffle": true, "fuzz": true, "fuzztime": true, "timeout": true, "tags": true, "benchtime": true, "o": true}
	alone     = map[string]bool{"v": true, "race": true, "short": true, "benchmem": true, "cover": true}
)

// checked lists the commands that name packages of ours.
var checked = map[string]bool{"loadtest": true, "go": true, "go run": true, "go test": true, "go install": true, "go build": true, "go vet": true}

// Every command of a page names packages, flags and tests that exist.
func TestCommandsExist(t *testing.T) {
	found := 0
	for _, p := range pages(t) {
		for _, c := range p.commands() {
			if !checked[c.args[0]] || c.args[0] == "go" && !checked["go "+c.args[1]] {
				continue
			}
			if problem := checkCommand(t, c.args); problem != "" {
				t.Errorf("%s: %s: %s", c.page, c.line, problem)
			}
			found++
		}
	}
	require.Greater(t, found, 20)
}

func TestCheckCommandFindsMistakes(t *testing.T) {
	for line, want := range map[string]string{
		"go run ./examples/chat -addr :80":                            "",
		"go run ./examples/chat -port 80":                             "has no flag -port",
		"go run ./examples/chats":                                     "is no program",
		"go run ./wsmanager":                                          "is no program",
		"go test ./nowhere":                                           "has no tests",
		"go test work":                                                "",
		"go test -run '^$' -bench PassThrough ./pipeline":             "",
		"go test -run '^$' -bench Nothing ./pipeline":                 "no function that -bench",
		"go test -frobnicate ./pipeline":                              "go has no flag",
		"loadtest -url ws://x -quick":                                 "has no flag -quick",
		`loadtest -url ws://x -header "Authorization: Bearer $TOKEN"`: "",
	} {
		problem := checkCommand(t, splitCommandLine(line))
		if want == "" {
			require.Empty(t, problem, line)
		} else {
			require.Contains(t, problem, want, line)
		}
	}
}

// splitCommandLine splits a command line as a shell does, without variables and backslashes.
func splitCommandLine(line string) []string {
	var list []string
	for _, m := range regexp.MustCompile(`'([^']*)'|"([^"]*)"|(\S+)`).FindAllStringSubmatch(line, -1) {
		list = append(list, m[1]+m[2]+m[3])
	}
	return list
}

// checkCommand returns the mistake in a command, or "".
func checkCommand(t *testing.T, args []string) string {
	t.Helper()
	if args[0] == "loadtest" {
		return checkProgram(t, "./examples/loadtest", args[1:])
	}
	verb, args := args[1], args[2:]
	patterns := map[string]string{} // of -run and -bench
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		name, value, has := strings.Cut(strings.TrimLeft(args[0], "-"), "=")
		args = args[1:]
		switch {
		case withValue[name] && !has && len(args) > 0:
			value, args = args[0], args[1:]
		case !withValue[name] && !alone[name]:
			return "go has no flag -" + name + " that this test knows"
		}
		patterns[name] = value
	}
	if len(args) == 0 {
		return "names no package"
	}
	switch verb {
	case "run", "install", "build":
		if args[0] == "." || strings.Contains(args[0], "@") || // the reader's program, or one of another module
			verb == "build" && args[0] == "./..." {
			return ""
		}
		return checkProgram(t, args[0], args[1:])
	case "vet":
		return ""
	}
	return checkTests(t, args, patterns)
}

// checkProgram returns "" if a directory has a program with these flags, and the mistake
// otherwise.
func checkProgram(t *testing.T, dir string, args []string) string {
	t.Helper()
	flags, isProgram := map[string]bool{"h": true, "help": true}, false
	for _, file := range parse(t, dir, false) {
		isProgram = isProgram || file.Name.Name == "main"
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if _, ok := call.Fun.(*ast.SelectorExpr); ok && len(call.Args) > 2 {
				for _, arg := range call.Args[:2] { // flags.String("name", …), flags.StringVar(&v, "name", …)
					if lit, ok := arg.(*ast.BasicLit); ok && lit.Kind == token.STRING {
						name, err := strconv.Unquote(lit.Value)
						require.NoError(t, err)
						flags[name] = true
					}
				}
			}
			return true
		})
	}
	if !isProgram {
		return dir + " is no program"
	}
	for _, arg := range args {
		if name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "="); strings.HasPrefix(arg, "-") && arg != "-" && !flags[name] {
			return dir + " has no flag -" + name
		}
	}
	return ""
}

// checkTests returns "" if packages have tests, and functions for each pattern, and the
// mistake otherwise.
func checkTests(t *testing.T, dirs []string, patterns map[string]string) string {
	t.Helper()
	names := []string{}
	for _, dir := range dirs {
		if dir == "work" || dir == "./..." {
			return ""
		}
		files := parse(t, dir, true)
		if len(files) == 0 {
			return dir + " has no tests"
		}
		for _, file := range files {
			for _, decl := range file.Decls {
				if f, ok := decl.(*ast.FuncDecl); ok {
					names = append(names, f.Name.Name)
				}
			}
		}
	}
	for flag, prefix := range map[string]string{"run": "Test", "bench": "Benchmark"} {
		pattern, _, _ := strings.Cut(patterns[flag], "/")
		if pattern == "" || pattern == "^$" {
			continue
		}
		re, err := regexp.Compile(pattern)
		require.NoError(t, err)
		matched := false
		for _, name := range names {
			matched = matched || strings.HasPrefix(name, prefix) && re.MatchString(name)
		}
		if !matched {
			return "there is no function that -" + flag + " " + pattern + " matches"
		}
	}
	return ""
}

// parse parses the Go files of a directory: its tests, or all others.
func parse(t *testing.T, dir string, tests bool) []*ast.File {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(dir), "*.go"))
	require.NoError(t, err)
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") != tests {
			continue
		}
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		f, err := parser.ParseFile(token.NewFileSet(), name, b, parser.SkipObjectResolution)
		require.NoError(t, err)
		files = append(files, f)
	}
	return files
}
