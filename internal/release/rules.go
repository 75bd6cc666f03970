package main

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// unversioned is the version at which examples and tests may require our modules: their
// replace directives select the code.
const unversioned = "v0.0.0"

// problems returns everything in the repository's files that would break a release.
func (r *repository) problems() []error {
	var list []error
	if len(r.modules) == 0 || r.modules[0].dir != "." {
		return []error{fmt.Errorf("go.work: the first module is not the root module")}
	}
	for _, m := range r.modules {
		list = append(list, r.moduleProblems(m)...)
	}
	return append(list, r.tagProblems()...)
}

// moduleProblems returns the problems of one go.mod file.
func (r *repository) moduleProblems(m *goModule) []error {
	var list []error
	add := func(format string, args ...any) {
		list = append(list, fmt.Errorf("%s: "+format, append([]any{m.name()}, args...)...))
	}
	if want := path.Join(r.modules[0].path(), m.dir); m.path() != want {
		add("the module's path is %s, its directory asks for %s", m.path(), want)
	}
	switch {
	case m.isUnreleased() && m.program != "":
		add("a module below %q has a program in %s, which is for library modules", unreleased, programs)
	case !m.isUnreleased() && m.program == "":
		add("the library module has no program %s/%s/main.go that uses it", programs, programDir(m.dir))
	}

	for _, require := range m.file.Require {
		sibling := r.byPath(require.Mod.Path)
		if sibling == nil {
			continue
		}
		version := require.Mod.Version
		switch {
		case m.isUnreleased() && version != unversioned && version != r.version:
			add("requires %s %s; %s or %s is allowed here", sibling.path(), version, unversioned, r.version)
		case !m.isUnreleased() && sibling.isUnreleased():
			add("requires %s, which is not released", sibling.path())
		case !m.isUnreleased() && version != r.version:
			add("requires %s %s, but the next release is %s", sibling.path(), version, r.version)
		}
		want := relative(m.dir, sibling.dir)
		if got := m.replacement(sibling.path()); got != want {
			add("needs replace %s => %s for the working tree, has %q", sibling.path(), want, got)
		}
	}
	if !m.isUnreleased() {
		for _, replace := range m.file.Replace {
			if r.byPath(replace.Old.Path) == nil {
				add("replaces %s, which has no effect for users of a library module", replace.Old.Path)
			}
		}
	}
	return list
}

// replacement returns the directory that replaces all versions of a module, or "".
func (m *goModule) replacement(modulePath string) string {
	for _, replace := range m.file.Replace {
		if replace.Old == (module.Version{Path: modulePath}) && replace.New.Version == "" {
			return replace.New.Path
		}
	}
	return ""
}

// relative returns the path from one directory of the repository to another, in the
// form that go.mod wants.
func relative(from, to string) string {
	rel, err := filepath.Rel(filepath.FromSlash(from), filepath.FromSlash(to))
	if err != nil { // impossible: both are relative to the root
		panic(err)
	}
	rel = filepath.ToSlash(rel)
	if filepath.IsLocal(rel) {
		return "./" + rel
	}
	return rel // begins with ".."
}

// tagProblems checks the next version against the tags of earlier releases.
func (r *repository) tagProblems() []error {
	var list []error
	if !semver.IsValid(r.version) {
		list = append(list, fmt.Errorf("CHANGELOG.md: %s is not a semantic version", r.version))
	}
	for _, tag := range r.tags {
		if semver.IsValid(tag) && semver.Compare(tag, r.version) > 0 {
			list = append(list, fmt.Errorf("CHANGELOG.md: the next release is %s, but tag %s exists", r.version, tag))
		}
	}
	var missing, present []string
	for _, m := range r.libraries() {
		if tag := m.tag(r.version); slices.Contains(r.tags, tag) {
			present = append(present, tag)
		} else {
			missing = append(missing, tag)
		}
	}
	if len(present) > 0 && len(missing) > 0 {
		list = append(list, fmt.Errorf("tags %q exist, but %q do not: tag every library module of a release, or begin the next version", present, missing))
	}
	return list
}
