package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

// loadLibrary loads the packages of a library module that users can import: no programs,
// no examples, nothing below a directory internal. The API of one platform counts,
// because it is the same on all, and the result must not depend on the machine.
func loadLibrary(repo *repository, m *goModule, mode packages.LoadMode) ([]*packages.Package, error) {
	config := &packages.Config{
		Mode: mode | packages.NeedName | packages.NeedFiles,
		Dir:  filepath.Join(repo.root, filepath.FromSlash(m.dir)),
		Env:  append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly", "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0"),
	}
	loaded, err := packages.Load(config, "./...")
	if err != nil {
		return nil, err
	}
	var list []*packages.Package
	for _, p := range loaded {
		for _, e := range p.Errors {
			err = errors.Join(err, e)
		}
		if len(p.GoFiles) > 0 && p.Name != "main" && importable(repo, p.PkgPath) {
			list = append(list, p)
		}
	}
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%s has no packages for users", m.name())
	}
	slices.SortFunc(list, func(a, b *packages.Package) int { return strings.Compare(a.PkgPath, b.PkgPath) })
	return list, err
}

// importable reports whether a package is for users of the library.
func importable(repo *repository, path string) bool {
	rest := strings.TrimPrefix(path, repo.modules[0].path()+"/")
	return !strings.HasPrefix(rest, "examples/") && !slices.Contains(strings.Split(rest, "/"), "internal")
}

// libraryPackages returns the import paths of a library module's packages.
func libraryPackages(repo *repository, m *goModule) ([]string, error) {
	loaded, err := loadLibrary(repo, m, 0)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, p := range loaded {
		list = append(list, p.PkgPath)
	}
	return list, nil
}
