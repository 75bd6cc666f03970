package main

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"go/token"
	"go/types"
	"io"
	"strings"

	"golang.org/x/exp/apidiff"
	"golang.org/x/tools/go/gcexportdata"
)

// A baseline is a zip archive in the format of "apidiff -m -w" of golang.org/x/exp, so
// that this program and apidiff can both read it: the entry "module" has the module's
// path, and each entry PACKAGE.x has the export data of a package. It has no positions,
// which would contain file names of the machine.

// encodeBaseline writes a module's API. The same API gives the same bytes.
func encodeBaseline(w io.Writer, m *apidiff.Module) error {
	archive := zip.NewWriter(w)
	entry, err := archive.Create("module")
	if err != nil {
		return err
	}
	if _, err := io.WriteString(entry, m.Path); err != nil {
		return err
	}
	for _, p := range m.Packages {
		entry, err := archive.Create(p.Path() + ".x")
		if err != nil {
			return err
		}
		if err := gcexportdata.Write(entry, token.NewFileSet(), p); err != nil {
			return err
		}
	}
	return archive.Close()
}

// decodeBaseline reads what encodeBaseline has written.
func decodeBaseline(data []byte) (*apidiff.Module, error) {
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	m := &apidiff.Module{}
	for _, file := range archive.File {
		content, err := readEntry(file)
		if err != nil {
			return nil, err
		}
		if file.Name == "module" {
			m.Path = string(content)
			continue
		}
		name, ok := strings.CutSuffix(file.Name, ".x")
		if !ok {
			return nil, fmt.Errorf("unexpected entry %q", file.Name)
		}
		p, err := gcexportdata.Read(bytes.NewReader(content), token.NewFileSet(), map[string]*types.Package{}, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file.Name, err)
		}
		m.Packages = append(m.Packages, p)
	}
	if m.Path == "" {
		return nil, errors.New("the entry \"module\" is missing")
	}
	return m, nil
}

func readEntry(file *zip.File) ([]byte, error) {
	r, err := file.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
