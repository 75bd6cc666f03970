package exampletest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Missing skips a test that needs something that this machine does not have, or fails it if
// no test may be skipped.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("SPEAKINGTUBE_REQUIRE_ALL") == "1" {
		t.Fatalf("%s, and SPEAKINGTUBE_REQUIRE_ALL is set", what)
	}
	t.Skip(what)
}

// Programs marks a test that runs external programs: a browser, Node.js, a proxy. With
// -short it is skipped.
func Programs(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short skips tests that run other programs")
	}
}

// Find returns the path of a program that a package of Debian has.
func Find(t testing.TB, name, debian string) string {
	t.Helper()
	Programs(t)
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, name+" is not installed (Debian: apt-get install "+debian+")")
	}
	return path
}

// Node returns the path of Node.js, if npm ci has installed packages in a folder.
func Node(t testing.TB, dir string, packages ...string) string {
	t.Helper()
	node := Find(t, "node", "nodejs npm")
	Modules(t, dir, packages...)
	return node
}

// Modules returns the folder with the packages that npm ci has installed in dir.
func Modules(t testing.TB, dir string, packages ...string) string {
	t.Helper()
	Programs(t)
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	modules := filepath.Join(dir, "node_modules")
	for _, name := range packages {
		if _, err := os.Stat(filepath.Join(modules, filepath.FromSlash(name))); err != nil {
			Missing(t, "the npm package "+name+" is not installed: run npm ci in "+dir)
		}
	}
	return modules
}
