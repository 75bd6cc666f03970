package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The documentation of every public package has sections about usage, concurrency, errors,
// and testing. Packages for tests need no section about testing.
func TestPackageDocs(t *testing.T) {
	for name, headings := range map[string][]string{
		"branch": {"Usage", "Concurrency", "Failure", "Testing"}, "middleware": {"Usage", "Concurrency", "Failure", "Testing"},
		"pipeline": {"Usage", "Concurrency", "Failure", "Testing"}, "pipeline/pipelinetest": {"Usage", "Concurrency", "Failure"},
		"wsmanager": {"Usage", "Concurrency", "Failure", "Testing"}, "wsmanager/wstest": {"Usage", "Concurrency", "Failure"},
		"wsmanager/backplanetest": {"Usage", "Concurrency", "Failure"}, "wsmanager/extendedconnect": {"Usage", "Concurrency", "Failure", "Testing"},
		"wsmanager/hub": {"Usage", "Concurrency", "Failure", "Testing"}, "wsmanager/hub/msgpack": {"Usage", "Concurrency", "Failure", "Testing"},
		"wsmanager/hub/hubtest": {"Usage", "Concurrency", "Failure"},
	} {
		t.Run(name, func(t *testing.T) {
			text := packageDoc(t, filepath.Join(root, filepath.FromSlash(name)))
			for _, heading := range headings {
				require.Contains(t, text, "\n# "+heading+"\n")
			}
		})
	}
}

// packageDoc returns the package comment of a directory.
func packageDoc(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var text string
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, parser.PackageClauseOnly|parser.ParseComments)
		require.NoError(t, err)
		text += f.Doc.Text()
	}
	require.NotEmpty(t, text)
	return text
}

// A file is one concept, with at most 500 lines.
func TestFilesAreShort(t *testing.T) {
	require.NoError(t, filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if lines := strings.Count(string(text), "\n"); lines > 500 {
			t.Errorf("%s has %d lines", file, lines)
		}
		return nil
	}))
}

// A type with more methods has several jobs. Methods of embedded fields are not counted.
func TestTypesAreSmall(t *testing.T) {
	const limit = 40
	methods := map[string]map[string]bool{} // by directory and type; a method may exist in a file for each system
	require.NoError(t, filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Recv == nil {
				continue
			}
			receiver := types.ExprString(fn.Recv.List[0].Type)
			receiver, _, _ = strings.Cut(strings.TrimPrefix(receiver, "*"), "[")
			name := filepath.Dir(file) + " " + receiver
			if methods[name] == nil {
				methods[name] = map[string]bool{}
			}
			methods[name][fn.Name.Name] = true
		}
		return nil
	}))
	require.NotEmpty(t, methods)
	for name, m := range methods {
		if len(m) > limit {
			t.Errorf("%s has %d methods", name, len(m))
		}
	}
}
