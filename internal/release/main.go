// Command release checks that the library modules of this repository can be released
// together, and that their exported API changes only on purpose.
//
//	go run ./internal/release check         go.mod files, changelog and tags; then each library module is used from outside
//	go run ./internal/release api           compares the exported API with the baseline
//	go run ./internal/release api -renew    makes the present API the baseline
//	go run ./internal/release version v0.3.0    writes the version of the next release into the go.mod files
//	go run ./internal/release tags          prints the commands that tag the release
//
// The version of the next release is the first version in CHANGELOG.md. docs/release.md
// describes the procedure.
//
// It is a module of its own, so that golang.org/x/mod, golang.org/x/exp and
// golang.org/x/tools do not become requirements of the root module. It is not released
// and imports no package of the other modules.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// errUsage is returned for arguments that name no command.
var errUsage = errors.New("usage: release check | api [-renew] | version vX.Y.Z | tags")

func run(args []string, out io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	root, err := repositoryRoot()
	if err != nil {
		return err
	}
	switch command, args := args[0], args[1:]; {
	case command == "check" && len(args) == 0:
		return check(root, out)
	case command == "api":
		flags := flag.NewFlagSet("api", flag.ContinueOnError)
		renew := flags.Bool("renew", false, "make the present API the baseline and remove all accepted changes")
		if err := flags.Parse(args); err != nil {
			return err
		}
		return api(root, *renew, out)
	case command == "version" && len(args) == 1:
		return setVersion(root, args[0])
	case command == "tags" && len(args) == 0:
		return printTags(root, out)
	}
	return errUsage
}

// repositoryRoot returns the directory of go.work.
func repositoryRoot() (string, error) {
	out, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		return "", fmt.Errorf("git rev-parse --show-toplevel: %w", withStderr(err))
	}
	return strings.TrimSpace(string(out)), nil
}

// check runs all checks of a release: first those that read files, then those that run
// the go command.
func check(root string, out io.Writer) error {
	repo, err := readRepository(root)
	if err != nil {
		return err
	}
	if err := errors.Join(repo.problems()...); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d library modules are ready for %s, as their go.mod files say\n", len(repo.libraries()), repo.version)
	return useFromOutside(repo, out)
}

// withStderr adds to the error of a command what the command printed to its standard
// error.
func withStderr(err error) error {
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	return err
}
