package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/semver"
)

// setVersion writes the version of the next release into all go.mod files. The changelog
// is edited by hand, because its new section needs text.
func setVersion(root, version string) error {
	repo, err := readRepository(root)
	if err != nil {
		return err
	}
	if !semver.IsValid(version) || semver.Canonical(version) != version {
		return fmt.Errorf("%s is not a version such as v0.3.0", version)
	}
	if repo.version != version {
		return fmt.Errorf("the first version of CHANGELOG.md is %s: begin the section for %s first", repo.version, version)
	}
	for _, m := range repo.modules {
		for _, require := range slices.Clone(m.file.Require) {
			if repo.byPath(require.Mod.Path) == nil || m.isUnreleased() && require.Mod.Version == unversioned {
				continue
			}
			if err := m.file.AddRequire(require.Mod.Path, version); err != nil {
				return err
			}
		}
		data, err := m.file.Format()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(root, filepath.FromSlash(m.name())), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// printTags prints the commands that tag the release at HEAD. All tags are pushed in one
// transaction, so that no module can be found before the modules that it requires.
func printTags(root string, out io.Writer) error {
	repo, err := readRepository(root)
	if err != nil {
		return err
	}
	if err := errors.Join(repo.problems()...); err != nil {
		return err
	}
	var tags []string
	for _, m := range repo.libraries() {
		tag := m.tag(repo.version)
		tags = append(tags, tag)
		fmt.Fprintf(out, "git tag -a %s -m %s\n", tag, tag)
	}
	fmt.Fprintf(out, "git push --atomic origin %s\n", strings.Join(tags, " "))
	return nil
}
