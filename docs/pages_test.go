// Package docs_test tests the Markdown pages: links resolve, code compiles, commands run.
package docs_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// root is the directory of the repository.
const root = ".."

// page is a Markdown file.
type page struct {
	path string // from the root, with slashes
	text string
}

// block is a fenced block of a page.
type block struct {
	language, text string
	line           int // of its first line
	heading        string
}

// pages returns all Markdown files of the repository.
func pages(t *testing.T) []page {
	t.Helper()
	var list []page
	require.NoError(t, filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && file != root && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_")) {
			return fs.SkipDir
		}
		if filepath.Ext(file) == ".md" {
			b, err := os.ReadFile(file)
			require.NoError(t, err)
			name, err := filepath.Rel(root, file)
			require.NoError(t, err)
			list = append(list, page{filepath.ToSlash(name), string(b)})
		}
		return nil
	}))
	require.Greater(t, len(list), 5)
	return list
}

// No page has conflict markers of a merge.
func TestNoConflicts(t *testing.T) {
	conflict := regexp.MustCompile(`(?m)^(<{7} |={7}$|>{7} )`)
	for _, p := range pages(t) {
		require.Empty(t, conflict.FindString(p.text), p.path)
	}
}

// blocks splits a page into its fenced blocks and the prose around them. The lines of the
// prose keep their numbers.
func (p page) blocks() (blocks []block, prose []string) {
	var open *block
	heading := ""
	for i, line := range strings.Split(p.text, "\n") {
		language, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence && open == nil:
			open = &block{language: language, line: i + 2, heading: heading}
		case fence:
			blocks = append(blocks, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		default:
			if strings.HasPrefix(line, "## ") {
				heading = line
			}
			prose = append(prose, line)
			continue
		}
		prose = append(prose, "")
	}
	return blocks, prose
}

var (
	link    = regexp.MustCompile(`!?\[[^\]\[]*(?:\[[^\]]*\])?[^\]\[]*\]\(([^()\s]+)\)`)
	code    = regexp.MustCompile("`[^`]+`")
	heading = regexp.MustCompile(`^#+ +(.*?) *$`)
)

// anchors returns the anchors that GitHub gives to the headings of a page.
func (p page) anchors() map[string]bool {
	names := map[string]bool{}
	_, prose := p.blocks()
	for _, line := range prose {
		m := heading.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		name := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		names[strings.ReplaceAll(name, " ", "-")] = true
	}
	return names
}

func TestLinksResolve(t *testing.T) {
	all := map[string]page{}
	for _, p := range pages(t) {
		all[p.path] = p
	}
	links := 0
	for _, p := range all {
		_, prose := p.blocks()
		text := code.ReplaceAllStringFunc(strings.Join(prose, "\n"), func(s string) string { // no links in code
			return strings.NewReplacer("[", "(", "]", ")").Replace(s)
		})
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target, anchor, hasAnchor := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			links++
			name := p.path
			if target != "" {
				name = path.Join(path.Dir(p.path), target)
			}
			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(name))); err != nil {
				t.Errorf("%s links to %s, which is not there", p.path, m[1])
				continue
			}
			if hasAnchor && !all[name].anchors()[anchor] {
				t.Errorf("%s links to %s: %s has no such heading", p.path, m[1], name)
			}
		}
	}
	require.Greater(t, links, 100)
}

// The README links to every page.
func TestREADMELinksToEveryPage(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	for _, p := range pages(t) {
		if strings.HasPrefix(p.path, "docs/") {
			require.Contains(t, string(readme), "]("+p.path+")")
		}
	}
}

// Tests that are named in the text exist.
func TestNamedTestsExist(t *testing.T) {
	declared := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	require.NoError(t, filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(file, "_test.go") {
			return err
		}
		text, err := os.ReadFile(file)
		for _, m := range function.FindAllSubmatch(text, -1) {
			declared[string(m[1])] = true
		}
		return err
	}))
	named := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w*)`")
	found := 0
	for _, p := range pages(t) {
		for _, m := range named.FindAllStringSubmatch(p.text, -1) {
			found++
			if !declared[m[1]] {
				t.Errorf("%s names the test %s, which does not exist", p.path, m[1])
			}
		}
	}
	require.Greater(t, found, 50)
}

// Files that are named in the text exist. A Go file may be named without its directory;
// decisions.md and the changelog may name such files of their time.
func TestNamedFilesExist(t *testing.T) {
	goFiles := map[string]bool{}
	require.NoError(t, filepath.WalkDir(root, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(d.Name(), ".go") {
			goFiles[d.Name()] = true
		}
		return err
	}))
	goFile := regexp.MustCompile(`^\w+\.go$`)
	inline := regexp.MustCompile("`[^`\n]+`") // within a line, or the fences of blocks would be taken for ends
	named := regexp.MustCompile(`^(?:\./)?(?:docs|examples|branch|middleware|pipeline|wsmanager|\.ci|\.github)/[\w./-]+$`)
	found := 0
	for _, p := range pages(t) {
		for _, m := range inline.FindAllString(p.text, -1) {
			name := strings.Trim(m, "`")
			dated := strings.HasSuffix(p.path, "decisions.md") || strings.HasSuffix(p.path, "CHANGELOG.md")
			if goFile.MatchString(name) && !dated && !goFiles[name] {
				t.Errorf("%s names %s, which is not there", p.path, name)
			}
			if !named.MatchString(name) {
				continue
			}
			found++
			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(name))); err != nil {
				t.Errorf("%s names %s, which is not there", p.path, name)
			}
		}
	}
	require.Greater(t, found, 10)
}
