package handshake

import (
	"cmp"
	"net/http"
	"net/url"
	"os"

	"golang.org/x/net/http/httpproxy"
)

// proxyFromEnvironment is http.ProxyFromEnvironment with ALL_PROXY, as curl knows it: the
// proxy for schemes whose own variable is not set. It reads the environment at each call.
func proxyFromEnvironment(r *http.Request) (*url.URL, error) {
	cfg := httpproxy.FromEnvironment()
	if all := cmp.Or(os.Getenv("all_proxy"), os.Getenv("ALL_PROXY")); all != "" {
		if cfg.HTTPProxy == "" {
			// In a CGI program HTTP_PROXY may be the header Proxy of a request. ALL_PROXY can't.
			cfg.HTTPProxy, cfg.CGI = all, false
		}
		cfg.HTTPSProxy = cmp.Or(cfg.HTTPSProxy, all)
	}
	return cfg.ProxyFunc()(r.URL)
}
