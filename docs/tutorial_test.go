package docs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// tutorial is the page whose code is copied from programs.
const tutorial = "docs/tutorial.md"

// The code of the tutorial is the code of its programs and their tests.
func TestTutorialShowsItsPrograms(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, tutorial))
	require.NoError(t, err)
	p := page{tutorial, string(b)}
	dirs := steps(p)
	shown := map[string]bool{}
	blocks, _ := p.blocks()
	for _, block := range blocks {
		if block.language == "" {
			continue // output of programs
		}
		dir := dirs[block.heading]
		require.NotEmpty(t, dir, "line %d: its section names no program", block.line)
		shown[dir] = true
		source := sources(t, filepath.Join(root, dir))
		if block.language == "go" {
			require.True(t, strings.Contains(source, "\n"+block.text), "line %d: %s has no\n%s", block.line, dir, block.text)
			continue
		}
		for line := range strings.Lines(block.text) {
			require.Contains(t, source, strings.TrimSpace(line), "line %d", block.line)
		}
	}
	all, err := filepath.Glob(filepath.Join(root, "examples", "tutorial", "*"))
	require.NoError(t, err)
	require.Len(t, shown, len(all), "each program is shown")
}

// The mistake described in step 3 is reported with the line numbers on the page.
func TestTutorialNamesTheLinesOfTheMistake(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, tutorial))
	require.NoError(t, err)
	source, err := os.ReadFile(filepath.Join(root, "examples", "tutorial", "03-branches", "main.go"))
	require.NoError(t, err)
	line := func(what string) int {
		before, _, found := strings.Cut(string(source), what)
		require.True(t, found, what)
		return 1 + strings.Count(before, "\n")
	}
	nested := 3 // lines that the reader removes above it
	require.Contains(t, strings.ReplaceAll(string(text), "\n", " "), fmt.Sprintf(
		"main.go:%d: Map(/about/version): never reached: Map(/about) at main.go:%d takes",
		line(`app.MapWhen(`)-nested, line(`app.Map("/about"`)))
}

// steps returns the directories of the tutorial's programs, by the heading of their
// section.
func steps(p page) map[string]string {
	step := regexp.MustCompile(`\(\.\./(examples/tutorial/\d\d-\w+)/`)
	_, prose := p.blocks()
	dirs, heading := map[string]string{}, ""
	for _, line := range prose {
		if strings.HasPrefix(line, "## ") {
			heading = line
		}
		if m := step.FindStringSubmatch(line); m != nil && heading != "" && dirs[heading] == "" {
			dirs[heading] = "./" + m[1]
		}
	}
	return dirs
}

// sources returns the text of all files of a program.
func sources(t *testing.T, dir string) string {
	t.Helper()
	var text strings.Builder
	for _, pattern := range []string{"*.go", "web/*"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		require.NoError(t, err)
		for _, file := range files {
			b, err := os.ReadFile(file)
			require.NoError(t, err)
			text.WriteString("\n" + string(b))
		}
	}
	return text.String()
}

// The page is the same in every step.
func TestTutorialPages(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "examples", "tutorial", "*", "web", "*"))
	require.NoError(t, err)
	require.Len(t, files, 4)
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		first, err := os.ReadFile(files[0])
		require.NoError(t, err)
		require.Equal(t, string(first), string(b))
	}
}
