package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A change of the API passes the gate if it is compatible, or accepted, or the baseline
// is renewed.
func TestAPI(t *testing.T) {
	root := newRepository(t, nil)
	require.NoError(t, api(root, true, nil))
	baseline := read(t, root, apiDir+"/root.zip")
	require.NotContains(t, baseline, root, "the baseline has a path of the machine")
	compare := func() (string, error) {
		var out bytes.Buffer
		err := api(root, false, &out)
		return out.String(), err
	}
	out, err := compare()
	require.NoError(t, err)
	require.Empty(t, out)

	write(t, root, "lib.go", strings.Replace(sample["lib.go"], "T struct{ A int }", "T struct{ A, B int }", 1))
	write(t, root, "internal/hidden/hidden.go", "package hidden\n")
	out, err = compare()
	require.NoError(t, err)
	require.Equal(t, "compatible: root: T.B: added\n", out)

	write(t, root, "lib.go", strings.Replace(sample["lib.go"], "Double(n int) int { return 2 * n }", "Double(n int64) int { return 0 }", 1))
	write(t, root, "extra/x.go", "package extra\n")
	out, err = compare()
	const (
		changed = "root: Double: changed from func(int) int to func(int64) int"
		removed = "extra: Quadruple: removed"
	)
	require.Equal(t, "incompatible: "+changed+"\nincompatible: "+removed+"\n", out)
	require.ErrorContains(t, err, "not in "+acceptedFile+": "+changed)
	require.ErrorContains(t, err, "not in "+acceptedFile+": "+removed)

	write(t, root, acceptedFile, acceptedHeader+"\n"+changed+"\n"+removed+"\n")
	_, err = compare()
	require.ErrorContains(t, err, "has no comment with its reason")

	write(t, root, acceptedFile, acceptedHeader+"\n# They were mistakes.\n"+changed+"\n"+removed+"\n")
	_, err = compare()
	require.NoError(t, err)

	write(t, root, "lib.go", sample["lib.go"])
	_, err = compare()
	require.EqualError(t, err, acceptedFile+" has a change that is not made: "+changed)

	write(t, root, "extra/x.go", sample["extra/x.go"])
	require.NoError(t, api(root, true, nil))
	require.Equal(t, acceptedHeader, read(t, root, acceptedFile))
	require.Equal(t, baseline, read(t, root, apiDir+"/root.zip"), "the same API has the same baseline")
}

// Packages and modules that are gone are incompatible changes, new ones compatible.
func TestAPIOfPackagesAndModules(t *testing.T) {
	root := newRepository(t, nil)
	require.NoError(t, api(root, true, nil))

	write(t, root, "sub/sub.go", "package main\n\nfunc main() {}\n")
	write(t, root, "other/other.go", "package other\n")
	write(t, root, "go.work", strings.Replace(sample["go.work"], "\t./extra\n", "", 1))
	var out bytes.Buffer
	require.Error(t, api(root, false, &out))
	require.Equal(t, "compatible: root: package example.com/lib/other: added\n"+
		"incompatible: root: package example.com/lib/sub: removed\n"+
		"incompatible: module of "+apiDir+"/extra.zip: removed\n", out.String())

	require.NoError(t, api(root, true, nil))
	require.NoFileExists(t, root+"/"+apiDir+"/extra.zip")
	require.NoError(t, api(root, false, &out))
}

func TestDecodeBaseline(t *testing.T) {
	_, err := decodeBaseline([]byte("no zip"))
	require.Error(t, err)
}
