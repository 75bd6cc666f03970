package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/types"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/exp/apidiff"
	"golang.org/x/tools/go/packages"
)

// apiDir is the directory, relative to the root, with the baselines and the accepted
// changes.
const apiDir = "internal/release/api"

// acceptedFile lists incompatible changes since the last release that are made on
// purpose.
const acceptedFile = apiDir + "/accepted.txt"

// acceptedHeader is acceptedFile without entries.
const acceptedHeader = `# Incompatible changes of the exported API since the last release that are made on purpose.
# One line for each, as "go run ./internal/release api" prints it. A comment above a line
# or above a group of lines gives the reason. An entry without its change is an error.
`

// baselineFile returns the name of the file with a module's API at the last release.
func baselineFile(m *goModule) string {
	return apiDir + "/" + strings.ReplaceAll(programDir(m.dir), "/", "_") + ".zip"
}

// api compares the exported API of all library modules with the baselines, or renews the
// baselines.
func api(root string, renew bool, out io.Writer) error {
	repo, err := readRepository(root)
	if err != nil {
		return err
	}
	if renew {
		return renewBaselines(repo)
	}
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(acceptedFile)))
	if err != nil {
		return err
	}
	accepted, err := parseAccepted(string(data))
	if err != nil {
		return err
	}
	incompatible, compatible, err := apiChanges(repo)
	if err != nil {
		return err
	}
	for _, change := range compatible {
		fmt.Fprintln(out, "compatible:", change)
	}
	for _, change := range incompatible {
		fmt.Fprintln(out, "incompatible:", change)
	}
	return judge(incompatible, accepted)
}

// judge compares the incompatible changes with those that are accepted.
func judge(incompatible, accepted []string) error {
	var list []error
	for _, change := range incompatible {
		if !slices.Contains(accepted, change) {
			list = append(list, fmt.Errorf("incompatible with the last release, and not in %s: %s", acceptedFile, change))
		}
	}
	for _, change := range accepted {
		if !slices.Contains(incompatible, change) {
			list = append(list, fmt.Errorf("%s has a change that is not made: %s", acceptedFile, change))
		}
	}
	return errors.Join(list...)
}

// parseAccepted returns the entries of an accepted-changes file. Each group of lines
// begins with a comment that gives the reason.
func parseAccepted(text string) (list []string, err error) {
	hasReason := false
	for i, line := range strings.Split(strings.TrimPrefix(strings.ReplaceAll(text, "\r\n", "\n"), acceptedHeader), "\n") {
		switch {
		case strings.TrimSpace(line) == "":
			hasReason = false
		case strings.HasPrefix(line, "#"):
			hasReason = true
		case !hasReason:
			return nil, fmt.Errorf("%s: entry %d has no comment with its reason above it: %s", acceptedFile, i+1, line)
		default:
			list = append(list, line)
		}
	}
	return list, nil
}

// apiChanges returns the changes of all library modules since the last release.
func apiChanges(repo *repository) (incompatible, compatible []string, err error) {
	known := []string{path.Base(acceptedFile)}
	for _, m := range repo.libraries() {
		known = append(known, path.Base(baselineFile(m)))
		before := &apidiff.Module{Path: m.path()}
		data, err := os.ReadFile(filepath.Join(repo.root, filepath.FromSlash(baselineFile(m))))
		switch {
		case err == nil:
			if before, err = decodeBaseline(data); err != nil {
				return nil, nil, fmt.Errorf("%s: %w", baselineFile(m), err)
			}
		case !errors.Is(err, os.ErrNotExist): // a new module has no baseline: all of it is added
			return nil, nil, err
		}
		after, err := loadAPI(repo, m)
		if err != nil {
			return nil, nil, err
		}
		for _, change := range apidiff.ModuleChanges(before, after).Changes {
			line := programDir(m.dir) + ": " + strings.ReplaceAll(change.Message, "\n", " ")
			if change.Compatible {
				compatible = append(compatible, line)
			} else {
				incompatible = append(incompatible, line)
			}
		}
	}
	entries, err := os.ReadDir(filepath.Join(repo.root, filepath.FromSlash(apiDir)))
	if err != nil {
		return nil, nil, err
	}
	for _, entry := range entries {
		if !slices.Contains(known, entry.Name()) {
			incompatible = append(incompatible, "module of "+apiDir+"/"+entry.Name()+": removed")
		}
	}
	return incompatible, compatible, nil
}

// loadAPI loads the exported API of a library module from the working tree.
func loadAPI(repo *repository, m *goModule) (*apidiff.Module, error) {
	loaded, err := loadLibrary(repo, m, packages.NeedTypes)
	if err != nil {
		return nil, err
	}
	list := make([]*types.Package, len(loaded))
	for i, p := range loaded {
		list[i] = p.Types
	}
	return &apidiff.Module{Path: m.path(), Packages: list}, nil
}

// renewBaselines makes the API of the working tree the baseline and removes all accepted
// changes. Baselines of modules that no longer exist are removed.
func renewBaselines(repo *repository) error {
	baselines := map[string][]byte{}
	for _, m := range repo.libraries() {
		api, err := loadAPI(repo, m)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if err := encodeBaseline(&b, api); err != nil {
			return err
		}
		baselines[baselineFile(m)] = b.Bytes()
	}
	old, err := filepath.Glob(filepath.Join(repo.root, filepath.FromSlash(apiDir), "*.zip"))
	if err != nil {
		return err
	}
	for _, name := range old {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	for name, data := range baselines {
		if err := os.WriteFile(filepath.Join(repo.root, filepath.FromSlash(name)), data, 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(repo.root, filepath.FromSlash(acceptedFile)), []byte(acceptedHeader), 0o644)
}
