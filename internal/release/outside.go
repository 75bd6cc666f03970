package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// useFromOutside does what a user of each library module does: in an empty module outside
// the workspace it gets the module at the version of the next release, builds all
// packages of it, and runs the program that uses it. Our modules come from a local proxy,
// all others from the user's module cache or the configured proxy.
func useFromOutside(repo *repository, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "release")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeAll(dir)) }()
	proxy := filepath.Join(dir, "proxy")
	if err := writeProxy(repo, proxy); err != nil {
		return err
	}
	env, err := outsideEnv(repo, dir, proxy)
	if err != nil {
		return err
	}
	for _, m := range repo.libraries() {
		user := outside{dir: filepath.Join(dir, "users", filepath.FromSlash(programDir(m.dir))), env: env}
		if err := user.use(repo, m); err != nil {
			return fmt.Errorf("%s as its users get it: %w", m.name(), err)
		}
		fmt.Fprintf(out, "go get %s@%s: its packages compile, and a program that uses them runs\n", m.path(), repo.version)
	}
	return nil
}

// outsideEnv returns the environment of a user's go commands.
func outsideEnv(repo *repository, dir, proxy string) ([]string, error) {
	configured, err := goEnv("GOPROXY", "GOMODCACHE", "GONOSUMDB", "GOSUMDB", "GOTOOLCHAIN")
	if err != nil {
		return nil, err
	}
	root := repo.modules[0].path()
	return append(os.Environ(),
		"GOWORK=off",
		// go.mod and go.sum are written as needed. With -trimpath the build cache does not
		// depend on the temporary directory.
		"GOFLAGS=-mod=mod -modcacherw -trimpath",
		// The user's own cache must not keep modules of the working tree. It serves the
		// modules of others, so that they are not downloaded again.
		"GOMODCACHE="+filepath.Join(dir, "cache"),
		"GOPROXY="+fileURL(proxy)+","+fileURL(filepath.Join(configured["GOMODCACHE"], "cache", "download"))+","+configured["GOPROXY"],
		// No setting may lead to the origin server before the local proxy is asked. The
		// settings that are needed follow here, so go env -w has no effect.
		"GOENV=off", "GOPRIVATE=", "GONOPROXY=",
		"GOSUMDB="+configured["GOSUMDB"],
		"GOTOOLCHAIN="+configured["GOTOOLCHAIN"],
		// The checksum database does not know a version that is not released.
		"GONOSUMDB="+strings.Trim(root+","+configured["GONOSUMDB"], ","),
		// The go command asks for each prefix of a package path. Prefixes of ours that
		// are not modules must not lead to the origin server.
		"GOVCS="+root+":off,public:git|hg,private:all",
	), nil
}

// goEnv returns settings of the go command.
func goEnv(names ...string) (map[string]string, error) {
	out, err := exec.Command("go", append([]string{"env"}, names...)...).Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", withStderr(err))
	}
	values := map[string]string{}
	for i, line := range strings.Split(strings.TrimSuffix(string(out), "\n"), "\n") {
		values[names[i]] = strings.TrimSuffix(line, "\r")
	}
	return values, nil
}

// fileURL returns the URL of a file with an absolute name.
func fileURL(name string) string {
	path := filepath.ToSlash(name)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // a drive letter
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}

// outside is an empty module of a user.
type outside struct {
	dir string
	env []string
}

// use gets a module and runs the program that uses it.
func (u outside) use(repo *repository, m *goModule) error {
	if err := os.MkdirAll(u.dir, 0o755); err != nil {
		return err
	}
	if _, err := u.run("go", "mod", "init", "example.com/user"); err != nil {
		return err
	}
	if _, err := u.run("go", "get", m.path()+"@"+repo.version); err != nil {
		return err
	}
	program, err := os.ReadFile(filepath.Join(m.program, "main.go"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(u.dir, "main.go"), program, 0o644); err != nil {
		return err
	}
	if _, err := u.run("go", "mod", "tidy"); err != nil {
		return err
	}
	if err := u.checkVersions(repo); err != nil {
		return err
	}
	packages, err := libraryPackages(repo, m)
	if err != nil {
		return err
	}
	if _, err := u.run("go", append([]string{"build"}, packages...)...); err != nil {
		return err
	}
	_, err = u.run("go", "run", ".")
	return err
}

// checkVersions checks that the user has our modules at the version of the release only,
// and not replaced.
func (u outside) checkVersions(repo *repository) error {
	out, err := u.run("go", "list", "-m", "-f", "{{.Path}} {{.Version}}{{with .Replace}} => {{.Path}}{{end}}", "all")
	if err != nil {
		return err
	}
	found := false
	for line := range strings.Lines(out) {
		path, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		if repo.byPath(path) == nil {
			continue
		}
		found = true
		if version != repo.version {
			return fmt.Errorf("the user has %s %s instead of %s", path, version, repo.version)
		}
	}
	if !found {
		return fmt.Errorf("the user's module requires none of our modules:\n%s", out)
	}
	return nil
}

// run runs a command in the user's module and returns its standard output.
func (u outside) run(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = u.dir
	cmd.Env = append(u.env, "PWD="+u.dir)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), withStderr(err), out)
	}
	return string(out), nil
}

// removeAll removes a directory, also if it has directories without write permission.
func removeAll(dir string) error {
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			return os.Chmod(name, 0o755)
		}
		return err
	})
	return errors.Join(err, os.RemoveAll(dir))
}
