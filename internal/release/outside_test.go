package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a user gets is what a release would have: mistakes in go.mod files and in code
// that the workspace hides are found.
func TestUseFromOutside(t *testing.T) {
	t.Setenv("GOPROXY", "off") // the sample needs no module of others
	for name, test := range map[string]struct {
		changes files
		want    string // "" if the release works
	}{
		"ready": {},
		"requires a version that is not there": {
			files{"extra/go.mod": strings.Replace(sample["extra/go.mod"], "v0.2.0", "v0.1.0", 1)},
			"extra/go.mod as its users get it: go get example.com/lib/extra@v0.2.0",
		},
		"needs a package of an unreleased module": {
			files{
				"extra/go.mod":              sample["extra/go.mod"] + "\nrequire example.com/lib/examples/demo v0.0.0\n\nreplace example.com/lib/examples/demo => ../examples/demo\n",
				"extra/imports.go":          "package extra\n\nimport \"example.com/lib/examples/demo/helper\"\n\nvar _ = helper.F\n",
				"examples/demo/helper/h.go": "package helper\n\nfunc F() {}\n",
			},
			"extra/go.mod as its users get it: go get example.com/lib/extra@v0.2.0",
		},
		"a package does not compile": {
			files{"sub/more.go": "package sub\n\nvar x = undefined\n"},
			"go.mod as its users get it",
		},
		"a program fails": {
			files{"lib.go": strings.Replace(sample["lib.go"], "2 * n", "3 * n", 1)},
			"go.mod as its users get it: go run .",
		},
		"a file name that a module may not have": {
			files{"sub/a;b.txt": "x"},
			"malformed file path",
		},
	} {
		t.Run(name, func(t *testing.T) {
			repo, err := readRepository(newRepository(t, test.changes))
			require.NoError(t, err)
			var out bytes.Buffer
			err = useFromOutside(repo, &out)
			if test.want != "" {
				require.ErrorContains(t, err, test.want)
				return
			}
			require.NoError(t, err)
			require.Equal(t, "go get example.com/lib@v0.2.0: its packages compile, and a program that uses them runs\n"+
				"go get example.com/lib/extra@v0.2.0: its packages compile, and a program that uses them runs\n", out.String())
		})
	}
}

func TestFileURL(t *testing.T) {
	require.Equal(t, "file:///tmp/a%20b", fileURL("/tmp/a b"))
	require.Equal(t, "file:///C:/x", fileURL("C:/x"))
}
