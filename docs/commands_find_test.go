package docs_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// command is a command of a page.
type command struct {
	page    string
	heading string   // of its section
	line    string   // as on the page, without prompt, comment and alignment
	env     []string // variables before it
	args    []string
	want    []string // lines of output that the page shows after it
}

// known lists the programs that begin a command. After a prompt any program does.
var known = []string{".ci/run", "cat", "curl", "docker", "dotnet", "git", "go", "loadtest", "npm", "npx", "sudo", "sysctl", "ulimit"}

var (
	assignment = regexp.MustCompile(`^[A-Z_]+=\S*$`)
	comment    = regexp.MustCompile(`\s#.*`)
	verb       = regexp.MustCompile(`^[a-z]+$`)
)

// commands returns the commands of a page: each line of a block without a language, and
// code spans of the text.
func (p page) commands() (list []command) {
	add := func(heading, line string, prompt bool) bool {
		c := command{page: p.path, heading: heading, line: strings.Join(strings.Fields(comment.ReplaceAllString(line, "")), " ")}
		c.args = splitCommandLine(c.line)
		for len(c.args) > 0 && assignment.MatchString(c.args[0]) {
			c.env, c.args = append(c.env, c.args[0]), c.args[1:]
		}
		if len(c.args) == 0 || !prompt && !slices.Contains(known, c.args[0]) {
			return false
		}
		if c.args[0] != ".ci/run" && len(c.args) == 1 || c.args[0] == "go" && !verb.MatchString(c.args[1]) {
			return false // the name of a program, not a command
		}
		list = append(list, c)
		return true
	}
	blocks, prose := p.blocks()
	for _, b := range blocks {
		if b.language != "" {
			continue
		}
		var last *command // the next lines are its output
		for line := range strings.Lines(strings.ReplaceAll(b.text, "\\\n", " ")) {
			text, prompt := strings.CutPrefix(line, "$ ")
			if add(b.heading, text, prompt) {
				last = &list[len(list)-1]
			} else if last != nil && strings.TrimSpace(line) != "" {
				last.want = append(last.want, strings.TrimSpace(line))
			}
		}
	}
	under := ""
	for paragraph := range strings.SplitSeq(strings.Join(prose, "\n"), "\n\n") {
		if strings.HasPrefix(paragraph, "## ") {
			under, _, _ = strings.Cut(paragraph, "\n")
		}
		for _, m := range code.FindAllString(paragraph, -1) {
			add(under, strings.ReplaceAll(strings.Trim(m, "`"), "\n", " "), false)
		}
	}
	return list
}

func TestCommandsAreFound(t *testing.T) {
	p := page{"x.md", strings.Join([]string{
		"## One",
		"Do `go test -v ./a", "./b`, not `go`, `go.mod` or `cat`; `.ci/run` is one.",
		"```",
		"go run ./x -a 'b c' \\", "  -d    # a comment",
		"$ curl http://h/", "hello",
		"A=1 B=2 go test ./c",
		"```",
		"## Two",
		"```go",
		"go run()",
		"```",
		"```",
		"go runs fast",
		"$ unheard-of it",
		"```",
	}, "\n")}
	require.Equal(t, []command{
		{"x.md", "## One", "go run ./x -a 'b c' -d", nil, []string{"go", "run", "./x", "-a", "b c", "-d"}, nil},
		{"x.md", "## One", "curl http://h/", nil, []string{"curl", "http://h/"}, []string{"hello"}},
		{"x.md", "## One", "A=1 B=2 go test ./c", []string{"A=1", "B=2"}, []string{"go", "test", "./c"}, nil},
		{"x.md", "## Two", "go runs fast", nil, []string{"go", "runs", "fast"}, nil},
		{"x.md", "## Two", "unheard-of it", nil, []string{"unheard-of", "it"}, nil},
		{"x.md", "## One", "go test -v ./a ./b", nil, []string{"go", "test", "-v", "./a", "./b"}, nil},
		{"x.md", "## One", ".ci/run", nil, []string{".ci/run"}, nil},
	}, p.commands())
}
