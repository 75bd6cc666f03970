package wordlint_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/internal/wordlint"
)

// root is the directory of the repository.
const root = "../.."

// No file of the repository has an occurrence, except those that are listed with a reason.
func TestRepository(t *testing.T) {
	words, err := wordlint.ParseList(readFile(t, "words.txt"))
	require.NoError(t, err)
	files := map[string]source{}
	require.NoError(t, filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != root && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_")) {
				return fs.SkipDir
			}
			return nil
		}
		if ext := filepath.Ext(name); ext != ".go" && ext != ".md" {
			return nil
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		file := source{lines: strings.Split(string(data), "\n")}
		if filepath.Ext(name) == ".md" {
			file.hits = words.Markdown(data)
		} else if file.hits, err = words.GoFile(name, data); err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(rel)] = file
		return nil
	}))
	require.Greater(t, len(files), 500)
	for _, problem := range unlistedOccurrences(files, entries(t, "exceptions.txt"), entries(t, "pages.txt")) {
		t.Error(problem)
	}
}

// source is a checked file.
type source struct {
	lines []string
	hits  []wordlint.Hit
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	return data
}

func entries(t *testing.T, name string) []wordlint.Entry {
	t.Helper()
	list, err := wordlint.ParseEntries(readFile(t, name))
	require.NoError(t, err, name)
	return list
}

// unlistedOccurrences returns the occurrences that no list allows, and the entries of the lists that
// allow nothing.
func unlistedOccurrences(files map[string]source, exceptions, pages []wordlint.Entry) (problems []string) {
	used := map[wordlint.Entry]bool{}
	allows := func(list []wordlint.Entry, applies func(wordlint.Entry) bool) bool {
		at := slices.IndexFunc(list, applies)
		if at >= 0 {
			used[list[at]] = true
		}
		return at >= 0
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		file := files[name]
		for _, hit := range file.hits {
			line := file.lines[hit.Line-1]
			switch {
			case allows(exceptions, func(e wordlint.Entry) bool { return e.Path == name && strings.Contains(line, e.Text) }):
			case path.Ext(name) == ".md" && allows(pages, func(e wordlint.Entry) bool { return e.Path == name }):
			default:
				problems = append(problems, fmt.Sprintf("%s:%d: %q is in words.txt", name, hit.Line, hit.Text))
			}
		}
	}
	for _, e := range exceptions {
		if e.Text == "" {
			problems = append(problems, "exceptions.txt: "+e.Path+": say which text is allowed")
		}
	}
	for _, list := range []struct {
		name    string
		entries []wordlint.Entry
	}{{"exceptions.txt", exceptions}, {"pages.txt", pages}} {
		for _, e := range list.entries {
			if !used[e] {
				problems = append(problems, fmt.Sprintf("%s: %s %q allows nothing; remove the line", list.name, e.Path, e.Text))
			}
		}
	}
	return problems
}
