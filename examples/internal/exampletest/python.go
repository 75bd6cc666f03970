package exampletest

import (
	"os/exec"
	"testing"
)

// Python returns the path of a Python 3 that has a module. Debian's own is asked as well,
// since its packages are for no other.
func Python(t testing.TB, module, debian string) string {
	t.Helper()
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		python, err := exec.LookPath(name)
		if err == nil && exec.CommandContext(t.Context(), python, "-c", "import "+module).Run() == nil {
			return python
		}
	}
	Missing(t, "there is no Python 3 with the module "+module+" (Debian: apt-get install "+debian+")")
	return ""
}
