package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// writeProxy writes the library modules into dir, in the layout of a module proxy
// (https://go.dev/ref/mod#goproxy-protocol), which the go command reads with a file URL.
// Each has the version of the next release and the files of the working tree that git
// does not ignore.
func writeProxy(repo *repository, dir string) error {
	for _, m := range repo.libraries() {
		if err := writeModule(repo, m, dir); err != nil {
			return fmt.Errorf("%s: %w", m.name(), err)
		}
	}
	return nil
}

func writeModule(repo *repository, m *goModule, dir string) error {
	escaped, err := module.EscapePath(m.path())
	if err != nil {
		return err
	}
	versions := filepath.Join(dir, filepath.FromSlash(escaped), "@v")
	if err := os.MkdirAll(versions, 0o755); err != nil {
		return err
	}
	goMod, err := os.ReadFile(filepath.Join(repo.root, filepath.FromSlash(m.name())))
	if err != nil {
		return err
	}
	info, err := json.Marshal(struct {
		Version string
		Time    time.Time
	}{repo.version, time.Now().UTC()})
	if err != nil {
		return err
	}
	files, err := moduleFiles(filepath.Join(repo.root, filepath.FromSlash(m.dir)))
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	// Create leaves out the files of nested modules, and fails for names that a module
	// may not contain.
	if err := zip.Create(&archive, module.Version{Path: m.path(), Version: repo.version}, files); err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		"list":                 []byte(repo.version + "\n"),
		repo.version + ".info": info,
		repo.version + ".mod":  goMod,
		repo.version + ".zip":  archive.Bytes(),
	} {
		if err := os.WriteFile(filepath.Join(versions, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// moduleFiles returns the files below a directory, except those that git ignores.
func moduleFiles(dir string) ([]zip.File, error) {
	git := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
	git.Dir = dir
	out, err := git.Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files: %w", withStderr(err))
	}
	var files []zip.File
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		f := treeFile{dir, name}
		if _, err := f.Lstat(); os.IsNotExist(err) {
			continue // deleted, and the deletion is not staged
		}
		files = append(files, f)
	}
	return files, nil
}

// treeFile is a file of the working tree. It implements [zip.File].
type treeFile struct {
	dir  string
	path string // relative to dir, with slashes
}

func (f treeFile) file() string                 { return filepath.Join(f.dir, filepath.FromSlash(f.path)) }
func (f treeFile) Path() string                 { return f.path }
func (f treeFile) Lstat() (os.FileInfo, error)  { return os.Lstat(f.file()) }
func (f treeFile) Open() (io.ReadCloser, error) { return os.Open(f.file()) }
