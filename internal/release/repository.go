package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// programs is the directory, relative to this package, with one program for each library
// module. A module with a program here is a library module.
const programs = "internal/release/testdata/users"

// unreleased lists the directories whose modules are examples, tests or tools. They are
// neither tagged nor required by a library module.
var unreleased = []string{"examples/", "internal/", "wsmanager/backplane/livetest"}

// repository is the state of the working tree as far as a release depends on it.
type repository struct {
	root    string // directory
	version string // of the next release, such as "v0.2.0"
	modules []*goModule
	tags    []string // all tags of the repository
}

// goModule is one go.mod file of the workspace.
type goModule struct {
	dir     string // relative to the root with slashes; "." for the root module
	file    *modfile.File
	program string // directory of the program that uses the module; "" if there is none
}

func (m *goModule) path() string { return m.file.Module.Mod.Path }

// name returns the name of the module's go.mod file for messages.
func (m *goModule) name() string {
	if m.dir == "." {
		return "go.mod"
	}
	return m.dir + "/go.mod"
}

// isUnreleased reports whether the module is an example, a test or a tool.
func (m *goModule) isUnreleased() bool {
	return slices.ContainsFunc(unreleased, func(prefix string) bool {
		return strings.HasPrefix(m.dir, prefix)
	})
}

// tag returns the git tag of the module in a release.
func (m *goModule) tag(version string) string {
	if m.dir == "." {
		return version
	}
	return m.dir + "/" + version
}

// readRepository reads go.work, the go.mod files that it names, the changelog's first
// version and the tags.
func readRepository(root string) (*repository, error) {
	repo := &repository{root: root}
	changelog, err := os.ReadFile(filepath.Join(root, "CHANGELOG.md"))
	if err != nil {
		return nil, err
	}
	if repo.version, err = firstVersion(changelog); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(root, "go.work"))
	if err != nil {
		return nil, err
	}
	work, err := modfile.ParseWork("go.work", data, nil)
	if err != nil {
		return nil, err
	}
	for _, use := range work.Use {
		m := &goModule{dir: filepath.ToSlash(filepath.Clean(use.Path))}
		name := filepath.Join(root, filepath.FromSlash(m.name()))
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if m.file, err = modfile.Parse(m.name(), data, nil); err != nil {
			return nil, err
		}
		program := filepath.Join(root, filepath.FromSlash(programs), filepath.FromSlash(programDir(m.dir)))
		if _, err := os.Stat(filepath.Join(program, "main.go")); err == nil {
			m.program = program
		}
		repo.modules = append(repo.modules, m)
	}
	git := exec.Command("git", "tag", "--list")
	git.Dir = root
	tags, err := git.Output()
	if err != nil {
		return nil, fmt.Errorf("git tag --list: %w", withStderr(err))
	}
	repo.tags = strings.Fields(string(tags))
	return repo, nil
}

// programDir returns the directory below programs for the module in dir.
func programDir(dir string) string {
	if dir == "." {
		return "root"
	}
	return dir
}

var versionHeading = regexp.MustCompile(`(?m)^## \[(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?)\]`)

// firstVersion returns the version of the changelog's first section, with the "v" of a
// tag.
func firstVersion(changelog []byte) (string, error) {
	m := versionHeading.FindSubmatch(changelog)
	if m == nil {
		return "", fmt.Errorf("CHANGELOG.md has no heading such as \"## [0.2.0] - unreleased\"")
	}
	return "v" + string(m[1]), nil
}

// libraries returns the modules that are released, the root module first.
func (r *repository) libraries() []*goModule {
	var list []*goModule
	for _, m := range r.modules {
		if !m.isUnreleased() {
			list = append(list, m)
		}
	}
	return list
}

// byPath returns the module with an import path, or nil.
func (r *repository) byPath(path string) *goModule {
	for _, m := range r.modules {
		if m.path() == path {
			return m
		}
	}
	return nil
}
