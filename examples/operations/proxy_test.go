//go:build unix

package operations_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/internal/exampletest"
	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// proxy is a proxy that the tests can run.
type proxy struct {
	name, program, debian string

	// configure writes the program's files into dir and returns the command line.
	configure func(t *testing.T, dir string, port int, behind string) []string

	cutsIdle bool // has a timeout for tunnels
	gone     int  // the status when the server is down
}

// cut is the proxies' timeout for idle sockets.
const cut = 4 * time.Second

var proxies = []proxy{
	{"nginx", "nginx", "nginx", func(t *testing.T, dir string, port int, behind string) []string {
		write(t, dir, "site.conf", edit(t, "nginx.conf",
			"127.0.0.1:8080", behind,
			"listen 443 ssl", fmt.Sprintf("listen 127.0.0.1:%d ssl", port),
			"/etc/ssl/chat.example.com.crt", filepath.Join(dir, "cert.pem"),
			"/etc/ssl/chat.example.com.key", filepath.Join(dir, "key.pem"),
			"proxy_read_timeout 75s", fmt.Sprintf("proxy_read_timeout %dms", cut.Milliseconds())))
		return nginx(t, dir)
	}, true, 502},
	{"haproxy", "haproxy", "haproxy", func(t *testing.T, dir string, port int, behind string) []string {
		write(t, dir, "haproxy.cfg", edit(t, "haproxy.cfg",
			"127.0.0.1:8080", behind,
			"bind :443", fmt.Sprintf("bind 127.0.0.1:%d", port),
			"/etc/haproxy/chat.example.com.pem", filepath.Join(dir, "both.pem"),
			"maxconn 10000", "maxconn 100",
			"timeout tunnel 75s", fmt.Sprintf("timeout tunnel %dms", cut.Milliseconds())))
		return []string{"haproxy", "-db", "-f", filepath.Join(dir, "haproxy.cfg")}
	}, true, 503},
	{"caddy", "caddy", "caddy", func(t *testing.T, dir string, port int, behind string) []string {
		write(t, dir, "Caddyfile", "{\n\tadmin off\n\tauto_https disable_redirects\n}\n"+edit(t, "Caddyfile",
			"127.0.0.1:8080", behind,
			host+" {", fmt.Sprintf("https://%s:%d {\n\tbind 127.0.0.1\n\ttls %s %s", host, port, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))))
		return []string{"caddy", "run", "--config", filepath.Join(dir, "Caddyfile"), "--adapter", "caddyfile"}
	}, false, 502},
}

// nginx returns the command line for a site.conf in dir, with the surrounding configuration
// of a distribution.
func nginx(t *testing.T, dir string) []string {
	t.Helper()
	conf := "daemon off;\nmaster_process off;\nerror_log stderr;\npid " + filepath.Join(dir, "pid") + ";\nevents {}\nhttp {\naccess_log off;\n"
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		conf += kind + "_temp_path " + filepath.Join(dir, kind) + ";\n"
	}
	write(t, dir, "nginx.conf", conf+"include "+filepath.Join(dir, "site.conf")+";\n}\n")
	return []string{"nginx", "-p", dir, "-e", "stderr", "-c", filepath.Join(dir, "nginx.conf")}
}

// edit returns the text of a file with old strings replaced by new ones. Each old string
// must occur exactly once.
func edit(t *testing.T, file string, oldNew ...string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	text := string(b)
	for i := 0; i < len(oldNew); i += 2 {
		require.Equal(t, 1, strings.Count(text, oldNew[i]), "%s has to have %q once", file, oldNew[i])
		text = strings.Replace(text, oldNew[i], oldNew[i+1], 1)
	}
	return text
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
}

// start runs the proxy in front of a service and returns its address.
func (p proxy) start(t *testing.T, behind string) string {
	t.Helper()
	addr, _, _ := p.run(t, behind, p.configure)
	return addr
}

// run runs the proxy, configured in a folder, until the end of the test.
func (p proxy) run(t *testing.T, behind string, configure func(t *testing.T, dir string, port int, behind string) []string) (addr, dir string, cmd *exec.Cmd) {
	t.Helper()
	exampletest.Programs(t)
	if _, err := exec.LookPath(p.program); err != nil {
		exampletest.Missing(t, fmt.Sprintf("%s is not installed (Debian: apt-get install %s)", p.name, p.debian))
	}
	for range 5 { // another process may take the port first
		dir := t.TempDir()
		certificate(t, dir)
		port := freePort(t)
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		args := configure(t, dir, port, behind)
		var out exampletest.Output
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = environment(dir)
		cmd.Stdout, cmd.Stderr = &out, &out
		require.NoError(t, cmd.Start())
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		t.Cleanup(func() {
			_ = cmd.Process.Signal(syscall.SIGTERM) // it has ended already, or ends its workers and itself
			select {
			case <-ended:
			case <-time.After(wstest.Patience):
				_ = cmd.Process.Kill()
				<-ended
				t.Errorf("%s did not end", p.name)
			}
			if t.Failed() {
				t.Logf("%s said:\n%s", p.name, out.String())
			}
		})
		if answers(addr, ended) {
			return addr, dir, cmd
		}
	}
	t.Fatalf("%s did not start", p.name)
	return "", "", nil
}

// environment makes a program keep its state in dir.
func environment(dir string) []string {
	return append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
}

// answers waits until a server listens at addr, or ended is closed.
func answers(addr string, ended <-chan struct{}) bool {
	for deadline := time.Now().Add(wstest.Patience); time.Now().Before(deadline); {
		if conn, err := net.Dial("tcp", addr); err == nil {
			_ = conn.Close()
			return true
		}
		select {
		case <-ended:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return false
}

func freePort(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}
