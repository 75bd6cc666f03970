package middleware

import (
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/speakingtube/speakingtube/branch"
	"github.com/speakingtube/speakingtube/internal/httpx"
	"github.com/speakingtube/speakingtube/pipeline"
)

// details is the content of the page, redacted and truncated.
type details struct {
	Problem  *Problem     `json:"-"`
	Panicked bool         `json:"panicked"`
	Errors   []errorLink  `json:"errors"`
	Stack    []frameGroup `json:"stack,omitempty"`
	RawStack string       `json:"-"` // set if only the text of the stack is known
	Request  []field      `json:"request"`
	Headers  []field      `json:"headers"`
	Cookies  []field      `json:"cookies,omitempty"`
	Query    []field      `json:"query,omitempty"`
	Build    []field      `json:"build"`
	Modules  []field      `json:"modules,omitempty"`
}

// errorLink is an error of the chain, below the error that wraps it.
type errorLink struct {
	Depth int    `json:"depth"`
	Type  string `json:"type"`
	Text  string `json:"text"`
}

type field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Limits that keep the page readable.
const (
	maxErrorText  = 16 << 10
	maxFieldValue = 4 << 10
	maxFields     = 200
	maxErrors     = 64
)

const redacted = "(redacted)"

func newDetails(r *http.Request, p *Problem, err error, context int) *details {
	d := &details{Problem: p}
	if e, ok := err.(*PanicError); ok {
		d.Panicked = true
		if wrapped := e.Unwrap(); wrapped != nil {
			d.addErrors(wrapped, 0)
		} else {
			d.Errors = []errorLink{{0, fmt.Sprintf("%T", e.Value), httpx.Truncate(fmt.Sprint(e.Value), maxErrorText)}}
		}
		if d.Stack = framesOf(e.pcs, context); d.Stack == nil {
			d.RawStack = httpx.Truncate(string(e.Stack), 64<<10)
		}
	} else {
		d.addErrors(err, 0)
	}
	d.addRequest(r)
	d.Build, d.Modules = buildFields()
	return d
}

// addErrors adds err and the errors that it wraps, depth first.
func (d *details) addErrors(err error, depth int) {
	if err == nil || len(d.Errors) == maxErrors {
		return
	}
	d.Errors = append(d.Errors, errorLink{depth, fmt.Sprintf("%T", err), httpx.Truncate(fmt.Sprint(err), maxErrorText)})
	defer func() { _ = recover() }() // an Unwrap that panics ends the chain
	switch err := err.(type) {
	case interface{ Unwrap() error }:
		d.addErrors(err.Unwrap(), depth+1)
	case interface{ Unwrap() []error }:
		for _, e := range err.Unwrap() {
			d.addErrors(e, depth+1)
		}
	}
}

func (d *details) addRequest(r *http.Request) {
	target := r.RequestURI
	if target == "" {
		target = r.URL.RequestURI()
	}
	d.Request = []field{
		{"Method", r.Method}, {"URL", redactURL(target)}, {"Protocol", r.Proto},
		{"Host", r.Host}, {"Remote address", r.RemoteAddr},
	}
	if base := branch.PathBase(r); base != "" {
		d.Request = append(d.Request, field{"Path base", base}, field{"Path", r.URL.Path})
	}
	if res, ok := pipeline.ResponseFrom(r.Context()); ok && res.Route() != "" {
		d.Request = append(d.Request, field{"Route", res.Route()})
	} else if r.Pattern != "" {
		d.Request = append(d.Request, field{"Route", r.Pattern})
	}
	if r.TLS != nil && r.TLS.ServerName != "" {
		d.Request = append(d.Request, field{"TLS server name", r.TLS.ServerName})
	}
	d.Request = truncated(d.Request)

	for name, values := range r.Header {
		for _, v := range values {
			switch {
			case looksSecret(name):
				v = redacted
			case strings.Contains(v, "?"), strings.Contains(v, "://"): // Referer and similar headers
				v = redactURL(v)
			}
			d.Headers = append(d.Headers, field{name, v})
		}
	}
	d.Headers = truncated(sorted(d.Headers))
	for _, c := range r.Cookies() {
		name := c.Name
		if c.Value == "" {
			name = redacted // a cookie may have no name; the name is the value then
		}
		d.Cookies = append(d.Cookies, field{name, redacted})
	}
	d.Cookies = truncated(sorted(d.Cookies))
	for name, values := range r.URL.Query() {
		for _, v := range values {
			if isSecretParam(name) || isSecretValue(v) {
				v = redacted
			}
			d.Query = append(d.Query, field{name, v})
		}
	}
	d.Query = truncated(sorted(d.Query))
}

func isSecretParam(name string) bool { return looksSecret(name) || isOneOf(defaultRedact)(name) }

// redactURL redacts secret parameters and passwords in a URL, or in a text that may be one.
func redactURL(s string) string {
	if before, query, found := strings.Cut(s, "?"); found {
		query, fragment, hasFragment := strings.Cut(query, "#")
		s = before + "?" + redactQuery(query, isSecretParam)
		if hasFragment {
			s += "#" + fragment
		}
	}
	if u, err := url.Parse(s); err == nil && u.User != nil {
		return u.Redacted()
	}
	return s
}

func sorted(fields []field) []field {
	slices.SortFunc(fields, func(a, b field) int {
		return strings.Compare(a.Name+"\x00"+a.Value, b.Name+"\x00"+b.Value)
	})
	return fields
}

func truncated(fields []field) []field {
	if len(fields) > maxFields {
		left := len(fields) - maxFields
		fields = append(fields[:maxFields:maxFields], field{"…", fmt.Sprint(left, " more")})
	}
	for i := range fields {
		fields[i] = field{httpx.Truncate(fields[i].Name, 200), httpx.Truncate(fields[i].Value, maxFieldValue)}
	}
	return fields
}

// buildFields describes the running program. It omits linker and compiler flags, because
// they may contain secrets.
func buildFields() (build, modules []field) {
	build = []field{{"Go", runtime.Version()}, {"Platform", runtime.GOOS + "/" + runtime.GOARCH}}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return build, nil
	}
	build = append(build, field{"Program", info.Path}, field{"Module", strings.TrimSpace(info.Main.Path + " " + info.Main.Version)})
	for _, s := range info.Settings {
		if strings.HasPrefix(s.Key, "vcs") || s.Key == "-race" {
			build = append(build, field{s.Key, s.Value})
		}
	}
	for _, m := range info.Deps {
		version := m.Version
		if m.Replace != nil {
			version += " => " + strings.TrimSpace(m.Replace.Path+" "+m.Replace.Version)
		}
		modules = append(modules, field{m.Path, version})
	}
	return truncated(build), truncated(modules)
}
