package main

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// files is the content of a repository by path.
type files map[string]string

// sample is a small repository that can be released: two library modules and an example.
var sample = files{
	"CHANGELOG.md": "# Changelog\n\n## [0.2.0] - unreleased\n\n## [0.1.0] - 2026-01-01\n",
	"go.work":      "go 1.26.0\n\nuse (\n\t.\n\t./examples/demo\n\t./extra\n)\n",
	"go.mod":       "module example.com/lib\n\ngo 1.26.0\n",
	"lib.go":       "// Package lib is a library.\npackage lib\n\nfunc Double(n int) int { return 2 * n }\n\ntype T struct{ A int }\n",
	"sub/sub.go":   "package sub\n\nconst Limit = 10\n",
	"extra/go.mod": "module example.com/lib/extra\n\ngo 1.26.0\n\nrequire example.com/lib v0.2.0\n\nreplace example.com/lib => ..\n",
	"extra/x.go":   "package extra\n\nimport \"example.com/lib\"\n\nfunc Quadruple(n int) int { return lib.Double(lib.Double(n)) }\n",

	"internal/hidden/hidden.go": "package hidden\n\nfunc F() {}\n",
	"examples/demo/go.mod":      "module example.com/lib/examples/demo\n\ngo 1.26.0\n\nrequire example.com/lib v0.0.0\n\nreplace example.com/lib => ../..\n",
	"examples/demo/main.go":     "package main\n\nimport _ \"example.com/lib\"\n\nfunc main() {}\n",
	programs + "/root/main.go":  "package main\n\nimport \"example.com/lib\"\n\nfunc main() {\n\tif lib.Double(2) != 4 {\n\t\tpanic(\"wrong\")\n\t}\n}\n",
	programs + "/extra/main.go": "package main\n\nimport \"example.com/lib/extra\"\n\nfunc main() {\n\tif extra.Quadruple(2) != 8 {\n\t\tpanic(\"wrong\")\n\t}\n}\n",
	acceptedFile:                acceptedHeader,
	".gitignore":                "/ignored\n",
	"ignored/not;allowed.txt":   "a name that a module may not have\n",
}

// newRepository writes a repository with changes to sample; a file with the content ""
// is left out.
func newRepository(t *testing.T, changes files) string {
	t.Helper()
	root := t.TempDir()
	all := maps.Clone(sample)
	maps.Copy(all, changes)
	for name, text := range all {
		if text != "" {
			write(t, root, name, text)
		}
	}
	git(t, root, "init", "-q")
	git(t, root, "config", "user.name", "test")
	git(t, root, "config", "user.email", "test@example.com")
	git(t, root, "config", "commit.gpgsign", "false")
	git(t, root, "config", "tag.gpgsign", "false")
	return root
}

func write(t *testing.T, root, name, text string) {
	t.Helper()
	file := filepath.Join(root, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
}

func git(t *testing.T, root string, args ...string) {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "git %s: %s", args, out)
}

func read(t *testing.T, root, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	require.NoError(t, err)
	return string(data)
}

// The go.mod files of this repository can be released.
func TestThisRepositoryIsReady(t *testing.T) {
	root, err := repositoryRoot()
	require.NoError(t, err)
	repo, err := readRepository(root)
	require.NoError(t, err)
	require.Empty(t, repo.problems())
	require.GreaterOrEqual(t, len(repo.libraries()), 2)
}

func TestProblems(t *testing.T) {
	edit := func(name, old, replacement string) files {
		require.Contains(t, sample[name], old)
		return files{name: strings.Replace(sample[name], old, replacement, 1)}
	}
	for name, test := range map[string]struct {
		changes files
		tags    []string
		want    []string // each is contained in the problem with its index
	}{
		"nothing": {},
		"a library module requires v0.0.0": {
			edit("extra/go.mod", "v0.2.0", "v0.0.0"), nil,
			[]string{"extra/go.mod: requires example.com/lib v0.0.0, but the next release is v0.2.0"},
		},
		"a library module requires the last release": {
			edit("extra/go.mod", "v0.2.0", "v0.1.0"), nil,
			[]string{"extra/go.mod: requires example.com/lib v0.1.0, but the next release is v0.2.0"},
		},
		"the changelog is for a later version": {
			edit("CHANGELOG.md", "0.2.0", "0.3.0"), nil,
			[]string{"extra/go.mod: requires example.com/lib v0.2.0, but the next release is v0.3.0"},
		},
		"no replace": {
			edit("extra/go.mod", "replace example.com/lib => ..\n", ""), nil,
			[]string{`extra/go.mod: needs replace example.com/lib => .. for the working tree, has ""`},
		},
		"a replace of one version": {
			edit("extra/go.mod", "replace example.com/lib =>", "replace example.com/lib v0.2.0 =>"), nil,
			[]string{`extra/go.mod: needs replace example.com/lib => .. for the working tree, has ""`},
		},
		"a replace with another directory": {
			edit("extra/go.mod", "=> ..", "=> ../sub"), nil,
			[]string{`extra/go.mod: needs replace example.com/lib => .. for the working tree, has "../sub"`},
		},
		"a replace of a module of others": {
			edit("extra/go.mod", "=> ..", "=> ..\n\nreplace example.org/other => example.org/fork v1.0.0"), nil,
			[]string{"extra/go.mod: replaces example.org/other"},
		},
		"a library module requires an example": {
			files{"extra/go.mod": sample["extra/go.mod"] + "\nrequire example.com/lib/examples/demo v0.2.0\n\nreplace example.com/lib/examples/demo => ../examples/demo\n"}, nil,
			[]string{"extra/go.mod: requires example.com/lib/examples/demo, which is not released"},
		},
		"a path that is not the directory's": {
			edit("extra/go.mod", "example.com/lib/extra", "example.com/lib/more"), nil,
			[]string{"extra/go.mod: the module's path is example.com/lib/more, its directory asks for example.com/lib/extra"},
		},
		"a library module without a program": {
			files{programs + "/extra/main.go": ""}, nil,
			[]string{"extra/go.mod: the library module has no program " + programs + "/extra/main.go"},
		},
		"an example with a program": {
			files{programs + "/examples/demo/main.go": "package main\n"}, nil,
			[]string{"examples/demo/go.mod: a module below"},
		},
		"an example requires the next release": {
			edit("examples/demo/go.mod", "v0.0.0", "v0.2.0"), nil, nil,
		},
		"an example requires the last release": {
			edit("examples/demo/go.mod", "v0.0.0", "v0.1.0"), nil,
			[]string{"examples/demo/go.mod: requires example.com/lib v0.1.0; v0.0.0 or v0.2.0 is allowed here"},
		},
		"all tags exist":       {nil, []string{"v0.1.0", "v0.2.0", "extra/v0.2.0"}, nil},
		"a tag is missing":     {nil, []string{"v0.2.0"}, []string{`tags ["v0.2.0"] exist, but ["extra/v0.2.0"] do not`}},
		"a later tag exists":   {nil, []string{"v0.2.1"}, []string{"the next release is v0.2.0, but tag v0.2.1 exists"}},
		"tags of other things": {nil, []string{"nightly", "extra/v0.9.0"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			root := newRepository(t, test.changes)
			if len(test.tags) > 0 {
				git(t, root, "add", ".")
				git(t, root, "commit", "-q", "-m", "all")
			}
			for _, tag := range test.tags {
				git(t, root, "tag", tag)
			}
			repo, err := readRepository(root)
			require.NoError(t, err)
			problems := repo.problems()
			require.Len(t, problems, len(test.want), "%v", problems)
			for i, want := range test.want {
				require.ErrorContains(t, problems[i], want)
			}
		})
	}
}

func TestFirstVersion(t *testing.T) {
	for text, want := range map[string]string{
		"## [0.2.0] - unreleased\n\n## [0.1.0]\n": "v0.2.0",
		"intro\n## [1.0.0-rc.1]\n":                "v1.0.0-rc.1",
		"## [Unreleased]\n\n## [0.1.0]\n":         "v0.1.0",
		"# [0.1.0]\n":                             "",
	} {
		got, err := firstVersion([]byte(text))
		require.Equal(t, want, got)
		require.Equal(t, want == "", err != nil)
	}
}

func TestSetVersion(t *testing.T) {
	root := newRepository(t, files{"CHANGELOG.md": "## [0.3.0] - unreleased\n"})
	require.ErrorContains(t, setVersion(root, "0.3.0"), "not a version such as")
	require.ErrorContains(t, setVersion(root, "v0.4.0"), "the first version of CHANGELOG.md is v0.3.0")
	require.NoError(t, setVersion(root, "v0.3.0"))
	require.Equal(t, strings.Replace(sample["extra/go.mod"], "v0.2.0", "v0.3.0", 1), read(t, root, "extra/go.mod"))
	require.Equal(t, sample["examples/demo/go.mod"], read(t, root, "examples/demo/go.mod"))
	repo, err := readRepository(root)
	require.NoError(t, err)
	require.Empty(t, repo.problems())
}

func TestTags(t *testing.T) {
	root := newRepository(t, nil)
	var out bytes.Buffer
	require.NoError(t, printTags(root, &out))
	require.Equal(t, "git tag -a v0.2.0 -m v0.2.0\n"+
		"git tag -a extra/v0.2.0 -m extra/v0.2.0\n"+
		"git push --atomic origin v0.2.0 extra/v0.2.0\n", out.String())

	write(t, root, "extra/go.mod", strings.Replace(sample["extra/go.mod"], "v0.2.0", "v0.1.0", 1))
	require.ErrorContains(t, printTags(root, &out), "but the next release is v0.2.0")
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"release"}, {"check", "more"}, {"version"}, {"tags", "v0.2.0"}} {
		require.ErrorIs(t, run(args, nil), errUsage)
	}
}
