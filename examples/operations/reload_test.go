//go:build unix

package operations_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/wsmanager/wstest"
)

// The effect of a new configuration of the proxy on open sockets.
func TestReload(t *testing.T) {
	for _, p := range proxies {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			admin := fmt.Sprintf("127.0.0.1:%d", freePort(t)) // Caddy's
			addr, dir, cmd := p.run(t, s.addr, func(t *testing.T, dir string, port int, behind string) []string {
				args := p.configure(t, dir, port, behind)
				switch p.name {
				case "nginx": // a master, which replaces its worker; the worker must be able to read dir
					change(t, dir, "nginx.conf", "master_process off;", ownUser())
				case "haproxy":
					args = append([]string{"haproxy", "-W"}, args[1:]...)
				case "caddy":
					change(t, dir, "Caddyfile", "admin off", "admin "+admin)
				}
				return args
			})
			old := handshake(t, addr, "/silent")
			old.ExpectText(welcome)

			reload := func() {}
			switch p.name {
			case "nginx":
				change(t, dir, "site.conf", "location / {", "location /new { return 410; }\nlocation / {")
				reload = func() { require.NoError(t, cmd.Process.Signal(syscall.SIGHUP)) }
			case "haproxy":
				change(t, dir, "haproxy.cfg", "default_backend", "http-request deny deny_status 410 if { path /new }\n    default_backend")
				reload = func() { require.NoError(t, cmd.Process.Signal(syscall.SIGUSR2)) } // its master may not handle the signal yet
			case "caddy":
				change(t, dir, "Caddyfile", "reverse_proxy", "respond /new 410\n\treverse_proxy")
				reload = func() {
					c := exec.Command("caddy", "reload", "--config", filepath.Join(dir, "Caddyfile"), "--adapter", "caddyfile", "--address", admin)
					c.Env = environment(dir)
					out, err := c.CombinedOutput()
					require.NoError(t, err, "%s", out)
				}
			}
			deadline := time.Now().Add(wstest.Patience)
			for try := 0; ; try++ {
				if try%40 == 0 {
					reload()
				}
				if res, _ := get(t, addr, "http/1.1", "/new"); res.StatusCode == http.StatusGone {
					break
				}
				require.True(t, time.Now().Before(deadline), "the new configuration does not count")
				time.Sleep(25 * time.Millisecond)
			}

			if p.name == "caddy" {
				require.Error(t, <-s.closed, "its sockets are cut")
				return
			}
			old.SendText("still here")
			old.ExpectText("still here")
			old.SendClose(1000, "")
			old.ExpectClose(1000)
		})
	}
}

// ownUser returns the directive that makes nginx's worker run as the tests' user.
func ownUser() string {
	if os.Geteuid() == 0 {
		return "user root;"
	}
	return ""
}

// change replaces a string that a file in dir contains once.
func change(t *testing.T, dir, name, from, to string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(b), from))
	write(t, dir, name, strings.Replace(string(b), from, to, 1))
}

// The purpose of each line of nginx.conf: the result without it.
func TestNginxWithout(t *testing.T) {
	for _, tt := range []struct {
		name   string
		lines  []string
		host   string
		status int
		body   string
	}{
		{"nothing missing", nil, host + ":8443", 101, ""},
		{"the headers of upgrades", []string{"proxy_set_header Upgrade", "proxy_set_header Connection"}, host, 426, "This is a WebSocket endpoint"},
		{"HTTP/1.1", []string{"proxy_http_version"}, host, 400, "HTTP/1.1"},
		{"the host", []string{"proxy_set_header Host"}, host, 403, "origin"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			addr, _, _ := proxies[0].run(t, s.addr, func(t *testing.T, dir string, port int, behind string) []string {
				args := proxies[0].configure(t, dir, port, behind)
				for _, line := range tt.lines {
					change(t, dir, "site.conf", line, "# "+line)
				}
				return args
			})
			c := handshake(t, addr, "/ws", "Host", tt.host, "Origin", "https://"+tt.host)
			require.Equal(t, tt.status, c.Response.StatusCode)
			if tt.status != 101 {
				buf := make([]byte, 1000)
				n, _ := c.Response.Body.Read(buf)
				require.Contains(t, string(buf[:n]), tt.body)
				return
			}
			c.Kill()
			require.Error(t, <-s.closed)
		})
	}
	t.Run("the port", func(t *testing.T) {
		t.Parallel()
		s := serve(t)
		addr, _, _ := proxies[0].run(t, s.addr, func(t *testing.T, dir string, port int, behind string) []string {
			args := proxies[0].configure(t, dir, port, behind)
			change(t, dir, "site.conf", "proxy_set_header Host $http_host", "proxy_set_header Host $host")
			return args
		})
		c := handshake(t, addr, "/ws", "Host", host+":8443", "Origin", "https://"+host+":8443")
		require.Equal(t, 403, c.Response.StatusCode, "the port is lost")
	})
}
