package docs_test

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// given declares the names that pieces of code on the pages use without declaring them,
// with their types.
var given = []string{
	"ctx context.Context", "log *slog.Logger", "err error",
	"srv *http.Server", "mux *http.ServeMux", "w http.ResponseWriter", "r *http.Request", "next http.Handler",
	"app *pipeline.Builder", "admin, home http.Handler",
	"compression, cors, rateLimit, authentication pipeline.Middleware",
	"chat *wsmanager.Manager", "c *wsmanager.Conn", "m wsmanager.Message", "id string",
	"bus wsmanager.Backplane", "lines chan string", "ids []string",
	"methods hub.Methods", "token string", "items chan int",
	"say func(text string) http.HandlerFunc",
	"session func(*http.Request) (string, bool)",
	"verify func(token string) (user string, expires time.Time, err error)",
	"isTenant func(host string) bool",
	"store func(ctx context.Context, user string, text []byte) error",
}

// packages lists the packages of the standard library that pieces of code may use without
// an import. Ours are allowed too.
var packages = []string{
	"context", "crypto/tls", "encoding/json", "errors", "expvar", "fmt", "io", "log/slog", "net", "net/http", "net/http/httptest", "net/url",
	"os", "os/signal", "strings", "sync", "syscall", "testing", "testing/synctest", "time",
}

// mountsSource is the file that mounts sockets in frameworks of others. This module does
// not require them, so the functions that a page shows are compiled and tested in the
// file's own module.
func mountsSource(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, "examples", "recipes", "frameworks", "mount.go"))
	require.NoError(t, err)
	return string(b)
}

// The page shows each function exactly as it is in the file.
func TestFAQShowsTheMounts(t *testing.T) {
	source := mountsSource(t)
	faq, err := os.ReadFile(filepath.Join(root, "docs", "faq.md"))
	require.NoError(t, err)
	mounts := regexp.MustCompile(`(?ms)^func [A-Z]\w*\(.*?^}\n`).FindAllString(source, -1)
	require.Greater(t, len(mounts), 4)
	for _, mount := range mounts {
		require.True(t, strings.Contains(string(faq), "```go\n"+mount+"```\n"), "the page does not show\n%s", mount)
	}
}

// Every Go block of a page compiles. It may be a program, declarations, statements,
// an expression, or fields of wsmanager.Callbacks; "…" stands for omitted code.
func TestCodeCompiles(t *testing.T) {
	imp, ours := imports(t)
	mounts := mountsSource(t)
	compiled := 0
	for _, p := range pages(t) {
		if p.path == tutorial {
			continue // TestTutorialShowsItsPrograms compares its code
		}
		blocks, _ := p.blocks()
		for _, block := range blocks {
			if block.language != "go" || strings.Contains(mounts, "\n"+block.text) {
				continue
			}
			compiled++
			for _, err := range compile(imp, ours, block.text) {
				t.Errorf("%s, the Go block at line %d: %v", p.path, block.line, err)
			}
		}
	}
	require.Greater(t, compiled, 15)
}

func TestCompileFindsMistakes(t *testing.T) {
	imp, ours := imports(t)
	for code, want := range map[string]string{
		"app.Use(middleware.Recover(…))":                  "",
		"chat.Broadcast(wsmanager.Text(\"x\"))":           "",
		"wsmanager.Options{Driver: wsmanager.DriverAuto}": "",
		"OnClose: func(c *wsmanager.Conn, _ error) {},":   "",
		"package main\n\nfunc main() {}":                  "",
		"package main\n\nfunc main() { fmt.Println() }":   "undefined: fmt",
		"import _ \"net/http\"\n\nfmt.Println(c.ID())":    "",
		"app.Use(middleware.Recovery(…))":                 "undefined: middleware.Recovery",
		"chat.Broadcast(\"x\")":                           "cannot use",
		"wsmanager.Options{Drivers: 1}":                   "unknown field",
		"OnClosed: func(c *wsmanager.Conn, _ error) {},":  "unknown field",
		"nonsense()":                "undefined: nonsense",
		"if x {":                    "is no Go",
		"func f() { fmt.Printn() }": "undefined: fmt.Printn",
	} {
		errs := compile(imp, ours, code)
		if want == "" {
			require.NoError(t, errors.Join(errs...), code)
		} else {
			require.ErrorContains(t, errors.Join(errs...), want, code)
		}
	}
}

// imports returns an importer that reads export data of the go command, and the import
// paths of our packages and of the standard library by package name.
func imports(t *testing.T) (types.Importer, map[string]string) {
	t.Helper()
	args := append([]string{"list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Name}} {{.Export}}", "./branch/...", "./middleware/...", "./pipeline/...", "./wsmanager/...", "./wsmanager/hub/msgpack"}, packages...)
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", stderr.String())
	exports, byName := map[string]string{}, map[string]string{}
	for line := range strings.Lines(string(out)) {
		var importPath, name, export string
		_, _ = fmt.Sscan(line, &importPath, &name, &export) // unsafe has no export
		exports[importPath] = export
		if (strings.HasPrefix(importPath, module) || slices.Contains(packages, importPath)) && !strings.Contains(importPath, "/internal/") {
			byName[name] = importPath
		}
	}
	imp := importer.ForCompiler(token.NewFileSet(), "gc", func(importPath string) (io.ReadCloser, error) {
		if exports[importPath] == "" {
			return nil, fmt.Errorf("no export data of %s: add it to packages", importPath)
		}
		return os.Open(exports[importPath])
	})
	return imp, byName
}

const module = "github.com/speakingtube/speakingtube"

// compile returns the errors in a piece of Go.
func compile(imp types.Importer, ours map[string]string, code string) (errs []error) {
	code = strings.ReplaceAll(code, "…", leftOut)
	fset := token.NewFileSet()
	imports := ""
	for strings.HasPrefix(code, "import ") {
		line, rest, _ := strings.Cut(code, "\n")
		imports += line + "\n"
		code = strings.TrimLeft(rest, "\n")
	}
	inFunction := "package p\n" + imports + "func _(" + strings.Join(given, ", ") + ") error {\n%s\nreturn nil\n}"
	var file *ast.File
	for _, form := range []string{
		"%s",
		"package p\n" + imports + "%s",
		fmt.Sprintf(inFunction, "{\n%s\n}"), // a block, in which the given names may be declared anew
		fmt.Sprintf(inFunction, "_ = wsmanager.Callbacks{\n%s\n}"),
	} {
		f, err := parser.ParseFile(fset, "", fmt.Sprintf(form, code), parser.SkipObjectResolution)
		if err == nil {
			file = f
			break
		}
		errs = append(errs, fmt.Errorf("is no Go: %w", err))
	}
	if file == nil {
		return errs
	}
	errs = nil
	if !strings.HasPrefix(code, "package ") { // a program declares all names itself
		addImports(file, ours)
	}
	conf := types.Config{
		Importer: imp,
		Error: func(err error) {
			var problem types.Error
			if errors.As(err, &problem) && !problem.Soft && !harmless.MatchString(problem.Msg) {
				errs = append(errs, errors.New(problem.Msg))
			}
		},
	}
	_, _ = conf.Check("p", fset, []*ast.File{file}, nil) // conf.Error collects the errors
	return errs
}

// leftOut replaces an ellipsis of the page.
const leftOut = "leftOut"

// harmless matches the compiler's errors about ellipses and about unused expressions.
var harmless = regexp.MustCompile(`^undefined: ` + leftOut + `$|is not used$`)

// addImports adds imports for the packages that a piece of code uses without them.
func addImports(file *ast.File, ours map[string]string) {
	imported := map[string]bool{}
	for _, spec := range file.Imports {
		if spec.Name != nil && spec.Name.Name == "_" {
			continue
		}
		imported[strings.Trim(spec.Path.Value, `"`)] = true
	}
	used := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := sel.X.(*ast.Ident); ok {
				used[id.Name] = true
			}
		}
		return true
	})
	var specs []ast.Spec
	for name := range used {
		if importPath, ok := ours[name]; ok && !imported[importPath] {
			spec := &ast.ImportSpec{Path: &ast.BasicLit{Kind: token.STRING, Value: fmt.Sprintf("%q", importPath)}}
			if path.Base(importPath) != name {
				spec.Name = ast.NewIdent(name)
			}
			specs = append(specs, spec)
			file.Imports = append(file.Imports, spec)
		}
	}
	file.Decls = append([]ast.Decl{&ast.GenDecl{Tok: token.IMPORT, Lparen: 1, Specs: specs}}, file.Decls...)
}
