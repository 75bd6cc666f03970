package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// operations.md lists the names of all attributes that the packages write to logs, each once
// and with one meaning. A name without a group is a literal; one in a group is a constant of
// internal/logattrs, whose first part is the group.
func TestLogNames(t *testing.T) {
	s := logNames{constants: logConstants(t), used: map[string][]string{}}
	require.NoError(t, filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{"examples", "node_modules", ".git", "wstest", "backplanetest", "pipelinetest", "release", "wordlint", "docs", "logattrs"}, d.Name()):
			return filepath.SkipDir
		case strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, "_test.go"):
			s.scan(t, file)
		}
		return nil
	}))
	listed := listedLogNames(t)
	for name, places := range s.used {
		require.Contains(t, listed, name, "docs/operations.md does not list the name of a log attribute: %s", strings.Join(places, ", "))
	}
	for name := range listed {
		require.Contains(t, s.used, name, "docs/operations.md lists a log attribute that no package writes")
	}
	require.Greater(t, len(listed), 20)
}

// listedLogNames returns the names in the table of operations.md.
func listedLogNames(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "operations.md"))
	require.NoError(t, err)
	_, section, ok := strings.Cut(string(text), "\n## Names in the log\n")
	require.True(t, ok)
	section, _, _ = strings.Cut(section, "\n## ")
	listed := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*?`) \\|").FindAllStringSubmatch(section, -1) {
		for name := range strings.SplitSeq(row[1], ", ") {
			name = strings.Trim(name, "`")
			require.False(t, listed[name], "%s is listed twice", name)
			listed[name] = true
		}
	}
	return listed
}

// logConstants returns the full names for the constants of internal/logattrs, "" for the
// groups themselves.
func logConstants(t *testing.T) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "internal", "logattrs", "logattrs.go"), nil, 0)
	require.NoError(t, err)
	values := map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			require.NoError(t, err)
			values[spec.Names[0].Name] = value
		}
		return true
	})
	full := map[string]string{}
	for name, value := range values {
		for group, prefix := range values {
			switch {
			case name == group && strings.EqualFold(group, prefix):
				full[name] = ""
			case name != group && strings.HasPrefix(name, group) && strings.EqualFold(group, prefix):
				full[name] = prefix + "." + value
			}
		}
		require.Contains(t, full, name)
	}
	return full
}

// logNames collects the names of attributes in source.
type logNames struct {
	constants map[string]string
	used      map[string][]string // places by name
}

var (
	attrFuncs = []string{"Any", "Bool", "Duration", "Float64", "Group", "GroupAttrs", "Int", "Int64", "String", "Time", "Uint64"}
	logFuncs  = []string{"Debug", "DebugContext", "Error", "ErrorContext", "Info", "InfoContext", "Log", "Warn", "WarnContext"}
)

func (s *logNames) scan(t *testing.T, file string) {
	t.Helper()
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, file, nil, 0)
	require.NoError(t, err)
	ast.Inspect(f, func(n ast.Node) bool {
		for _, key := range keysOf(n) {
			place := files.Position(key.Pos()).String()
			name, ok := s.nameOf(key)
			if !ok {
				t.Errorf("%s: the name of a log attribute is neither a literal nor a constant of internal/logattrs", place)
			}
			if name != "" {
				s.used[name] = append(s.used[name], place)
			}
		}
		return true
	})
}

// keysOf returns the names of attributes in a call of log/slog or of a Logger.
func keysOf(n ast.Node) []ast.Expr {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		if lit, ok := n.(*ast.CompositeLit); ok && isOf(lit.Type, "slog", "Attr") {
			for _, e := range lit.Elts {
				if kv, ok := e.(*ast.KeyValueExpr); ok && kv.Key.(*ast.Ident).Name == "Key" {
					return []ast.Expr{kv.Value}
				}
			}
		}
		return nil
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	switch {
	case !ok || len(call.Args) == 0:
		return nil
	case isOf(sel, "slog", attrFuncs...), isOf(sel, "logattrs", "Group"):
		return call.Args[:1]
	case isOf(sel, "http", "Error"), !slices.Contains(logFuncs, sel.Sel.Name):
		return nil
	}
	// The arguments after the message are names and values, possibly by append([]any{…}, …).
	args := call.Args[1:]
	if strings.HasSuffix(sel.Sel.Name, "Context") {
		args = call.Args[2:]
	} else if sel.Sel.Name == "Log" {
		args = call.Args[min(3, len(call.Args)):]
	}
	if len(args) == 1 {
		if appended, ok := args[0].(*ast.CallExpr); ok && len(appended.Args) > 0 {
			if lit, ok := appended.Args[0].(*ast.CompositeLit); ok {
				args = lit.Elts
			}
		}
	}
	var keys []ast.Expr
	for i := 0; i+1 < len(args); i += 2 {
		keys = append(keys, args[i])
	}
	return keys
}

// isOf reports whether e is one of the names of a package.
func isOf(e ast.Expr, pkg string, names ...string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == pkg && slices.Contains(names, sel.Sel.Name)
}

// nameOf returns the full name of an attribute, "" for a group.
func (s *logNames) nameOf(key ast.Expr) (name string, ok bool) {
	switch e := key.(type) {
	case *ast.BasicLit:
		name, err := strconv.Unquote(e.Value)
		return name, err == nil
	case *ast.SelectorExpr:
		if isOf(e, "logattrs", slices.Collect(maps.Keys(s.constants))...) {
			return s.constants[e.Sel.Name], true
		}
	}
	return "", false
}
