package exampletest

import (
	"os/exec"
	"testing"
)

// Python returns the path of a Python 3 that has a module. It also tries Debian's own,
// because only that one has Debian's packages.
func Python(t testing.TB, module, debian string) string {
	t.Helper()
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		python, err := exec.LookPath(name)
		if err == nil && exec.CommandContext(t.Context(), python, "-c", "import "+module).Run() == nil {
			return python
		}
	}
	Missing(t, "no Python 3 found with the module "+module+" (Debian: apt-get install "+debian+")")
	return ""
}
