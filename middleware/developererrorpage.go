package middleware

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/speakingtube/speakingtube/pipeline"
)

// DeveloperErrorPageOptions configure [DeveloperErrorPage].
type DeveloperErrorPageOptions struct {
	// Recover configures everything except the page: the logger, the mapping of errors to
	// answers, and the handler for clients that must not see the page.
	Recover RecoverOptions

	// ContextLines is the number of source lines shown before and after the line of a call,
	// up to 50. Default: 6. Negative: no source.
	ContextLines int

	// DangerouslyShowToEveryone shows the page also to clients that are not on this machine
	// or are behind proxies. They see source, paths, versions and the texts of errors and
	// headers; redaction by name may miss secrets. Default: only direct clients on a
	// loopback address.
	DangerouslyShowToEveryone bool
}

// DeveloperErrorPage is a [Recover] for development: its answer shows the error and all
// errors that it wraps, the stack with the source around each call, the request with its
// headers, and the program's build information, as an HTML page, problem JSON or plain text
// as for [WriteProblem]. The status is that of Recover. Like Recover it belongs
// first: use it instead of Recover, or below it.
//
// Use it in development only. It logs a warning when it is constructed. If it gets into
// production anyway, it answers only clients on the same machine: the request must come
// from a loopback address, for a loopback host (so that a foreign name that resolves to it
// can't serve another site's scripts), without any header that a proxy adds (Forwarded,
// X-Forwarded-For, Via ...), and not from a script of another site. All other clients get
// Recover's answer.
//
// Values are redacted by name: those of headers that carry credentials (Authorization,
// Cookie, X-Api-Key ...) or whose name contains token, secret, password, key, session or
// similar words; those of all cookies; and those of query parameters with such names, as in
// AccessLog's default. The text of the error and the source are not redacted.
//
// It corresponds to ASP.NET Core's UseDeveloperExceptionPage.
//
//go:noinline
func DeveloperErrorPage(opts DeveloperErrorPageOptions) pipeline.Middleware {
	f := opts.Recover.failureHandler()
	others := f.write
	if opts.ContextLines == 0 {
		opts.ContextLines = 6
	}
	f.write = func(w http.ResponseWriter, r *http.Request, p *Problem, err error) {
		if !opts.DangerouslyShowToEveryone && !isLocal(r) {
			others(w, r, p, err)
			return
		}
		NoStatusPage(r)
		writeDetails(w, r, newDetails(r, p, err, min(opts.ContextLines, 50)))
	}
	return func(next http.Handler) http.Handler {
		logger := f.logger
		if logger == nil {
			logger = slog.Default()
		}
		logger.Warn("DeveloperErrorPage is in the pipeline: it shows source and requests, and is for development only",
			"shown_to_everyone", opts.DangerouslyShowToEveryone)
		return recovering(f, next)
	}
}

// isLocal reports whether the request comes from a browser or program on this machine.
func isLocal(r *http.Request) bool {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !remote.Addr().Unmap().IsLoopback() {
		return false
	}
	for name := range r.Header {
		switch name {
		case "Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "X-Original-For", "True-Client-Ip", "Cf-Connecting-Ip", "Fly-Client-Ip", "Fastly-Client-Ip":
			return false
		}
		if strings.HasPrefix(name, "X-Forwarded") || strings.HasPrefix(name, "X-Envoy-") {
			return false
		}
	}
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Header.Get("Sec-Fetch-Mode") != "navigate" {
		return false // a lenient CORS policy would let another site read it
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

var (
	//go:embed developererrorpage.html
	developerPageText string
	//go:embed developererrorpage.css
	developerPageCSS string

	developerPage = template.Must(template.New("page").Funcs(template.FuncMap{
		"css":    func() template.CSS { return template.CSS(developerPageCSS) },
		"indent": func(depth int) int { return min(depth, 8) },
	}).Parse(developerPageText))

	// developerPagePolicy allows only the page's own style sheet.
	developerPagePolicy = func() string {
		sum := sha256.Sum256([]byte(developerPageCSS))
		return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	}()
)

func writeDetails(w http.ResponseWriter, r *http.Request, d *details) {
	f, negotiated := formOf(r)
	switch f {
	case formHTML:
		var page bytes.Buffer
		if err := developerPage.Execute(&page, d); err != nil {
			panic(fmt.Errorf("middleware: the developer error page: %w", err))
		}
		h := w.Header()
		h.Set("Content-Security-Policy", developerPagePolicy)
		h.Set("Referrer-Policy", "no-referrer")
		writeBody(w, r, negotiated, d.Problem.Status, "text/html; charset=utf-8", page.Bytes())
	case formText:
		writeBody(w, r, negotiated, d.Problem.Status, "text/plain; charset=utf-8", d.text())
	default:
		p := *d.Problem
		p.Extensions = map[string]any{"development": d}
		for name, v := range d.Problem.Extensions {
			p.Extensions[name] = v
		}
		writeBody(w, r, negotiated, p.Status, "application/problem+json", p.json())
	}
}

func (d *details) text() []byte {
	var sb strings.Builder
	sb.Write(d.Problem.text())
	sb.WriteString("\nShown by DeveloperErrorPage, which is for development only.\n\n")
	for _, e := range d.Errors {
		fmt.Fprintf(&sb, "%s%s\n%s  (%s)\n", strings.Repeat("  ", e.Depth), e.Text, strings.Repeat("  ", e.Depth), e.Type)
	}
	if len(d.Stack) > 0 || d.RawStack != "" {
		sb.WriteString("\nStack\n" + d.RawStack)
	}
	for _, g := range d.Stack {
		if g.Library {
			fmt.Fprintf(&sb, "  … %d calls in libraries\n", len(g.Frames))
			continue
		}
		for _, f := range g.Frames {
			fmt.Fprintf(&sb, "  %s\n      %s:%d\n", f.Func, f.File, f.Line)
		}
	}
	for _, part := range []struct {
		title  string
		fields []field
	}{{"Request", d.Request}, {"Headers", d.Headers}, {"Cookies", d.Cookies}, {"Build", d.Build}} {
		if len(part.fields) == 0 {
			continue
		}
		fmt.Fprintf(&sb, "\n%s\n", part.title)
		for _, f := range part.fields {
			fmt.Fprintf(&sb, "  %s: %s\n", f.Name, f.Value)
		}
	}
	return []byte(sb.String())
}
