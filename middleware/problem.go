package middleware

import (
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Problem is an error with the answer for the client (RFC 9457): return it from a
// [HandlerFunc], pass it to [Fail], panic with it or write it with [WriteProblem]. Other
// errors may wrap it.
//
// The texts for the client and for the log are separate: Err is only for the log,
// everything else is public. This package does not modify a Problem, so it may be shared
// between requests.
type Problem struct {
	// Type is a URI that identifies the kind of problem. Default: "about:blank", which adds
	// nothing to the status.
	Type string

	// Title is a short text that is the same for all problems of the type.
	// Default: the text of the status.
	Title string

	// Status is the status of the answer, 400 to 599. Default, also for other values: 500.
	Status int

	// Detail describes this occurrence of the problem to the client.
	Detail string

	// Instance is a URI that identifies this occurrence.
	Instance string

	// Extensions are further members. A member with the name of a member of RFC 9457, in
	// any case, and a value that can't be encoded as JSON are omitted.
	Extensions map[string]any

	// Header is set on the answer and replaces existing values, for example Retry-After or
	// WWW-Authenticate. Headers that describe the body are ignored.
	Header http.Header

	// Err is the cause. It is logged and never shown.
	Err error
}

// Error implements error. The text is for the log: it contains Err's.
func (p *Problem) Error() string {
	if p == nil {
		return "<nil>"
	}
	s := strconv.Itoa(p.status()) + " " + p.title()
	if p.Detail != "" {
		s += ": " + p.Detail
	}
	if p.Err != nil {
		s += ": " + fmt.Sprint(p.Err) // fmt.Sprint survives an Error method that panics
	}
	return s
}

// Unwrap returns Err.
func (p *Problem) Unwrap() error {
	if p == nil {
		return nil
	}
	return p.Err
}

func (p *Problem) status() int {
	if p.Status < 400 || p.Status > 599 {
		return http.StatusInternalServerError
	}
	return p.Status
}

func (p *Problem) title() string {
	if p.Title != "" {
		return p.Title
	}
	if t := http.StatusText(p.status()); t != "" {
		return t
	}
	return "Error"
}

// complete returns a copy with the defaults filled in. The maps are shared.
func (p *Problem) complete() *Problem {
	if p == nil {
		return (&Problem{}).complete()
	}
	c := *p
	c.Status, c.Title = p.status(), p.title()
	if c.Type == "" {
		c.Type = "about:blank"
	}
	return &c
}

// setHeader sets p.Header on h.
func (p *Problem) setHeader(h http.Header) {
	for name, values := range p.Header {
		name = http.CanonicalHeaderKey(name)
		switch name {
		case "Content-Type", "Content-Length", "Content-Encoding", "Transfer-Encoding", "Trailer", "X-Content-Type-Options":
			continue
		}
		h[name] = slices.Clone(values)
	}
}

// WriteProblem writes p as the answer: as application/problem+json, unless the client
// prefers HTML, or prefers plain text to JSON, by the request's Accept header. A client that
// names none of these, or sends no Accept, gets JSON; application/json and types ending with
// +json request JSON. [ProblemFormat] fixes the format. Nothing may have been written before.
// A nil p is a 500.
//
// Headers that describe another body (Content-Encoding, ETag and similar ones) are dropped,
// as by http.Error; all others stay. Content-Length, X-Content-Type-Options and, if the
// format is negotiated, Vary are set; the caller sets Cache-Control. The answer to HEAD has no body. [StatusPages] does
// not change the answer.
func WriteProblem(w http.ResponseWriter, r *http.Request, p *Problem) {
	NoStatusPage(r)
	h := w.Header()
	for name := range h {
		if describesBody(name) {
			h.Del(name)
		}
	}
	if p != nil {
		p.setHeader(h)
	}
	writeProblem(w, r, p.complete())
}

// writeProblem writes a complete p and keeps all headers that don't describe its body.
func writeProblem(w http.ResponseWriter, r *http.Request, p *Problem) {
	f, negotiated := formOf(r)
	switch f {
	case formHTML:
		writeBody(w, r, negotiated, p.Status, "text/html; charset=utf-8", p.html())
	case formText:
		writeBody(w, r, negotiated, p.Status, "text/plain; charset=utf-8", p.text())
	default:
		writeBody(w, r, negotiated, p.Status, "application/problem+json", p.json())
	}
}

// writeBody writes an answer whose form may be negotiated.
func writeBody(w http.ResponseWriter, r *http.Request, negotiated bool, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	if negotiated && !variesByAccept(h) {
		h.Add("Vary", "Accept")
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client may be gone
	}
}

func variesByAccept(h http.Header) bool {
	for _, line := range h.Values("Vary") {
		for name := range strings.SplitSeq(line, ",") {
			name = strings.TrimSpace(name)
			if name == "*" || strings.EqualFold(name, "Accept") {
				return true
			}
		}
	}
	return false
}

// member is a member of the problem's JSON object.
type member struct {
	name  string
	value []byte // JSON
}

// extensions returns the valid extensions of p, sorted by name.
func (p *Problem) extensions() []member {
	var out []member
	for _, name := range slices.Sorted(maps.Keys(p.Extensions)) {
		switch strings.ToLower(name) {
		case "type", "title", "status", "detail", "instance":
			continue // in any case, because many decoders ignore case
		}
		if value, ok := encode(p.Extensions[name]); ok {
			out = append(out, member{name, value})
		}
	}
	return out
}

// encode is json.Marshal for arbitrary values, whose methods may panic.
func encode(v any) (text []byte, ok bool) {
	defer func() {
		if recover() != nil {
			text, ok = nil, false
		}
	}()
	text, err := json.Marshal(v)
	return text, err == nil
}

func (p *Problem) json() []byte {
	str := func(s string) []byte { b, _ := encode(s); return b } // a string can always be encoded
	members := []member{{"type", str(p.Type)}, {"title", str(p.Title)}, {"status", strconv.AppendInt(nil, int64(p.Status), 10)}}
	if p.Detail != "" {
		members = append(members, member{"detail", str(p.Detail)})
	}
	if p.Instance != "" {
		members = append(members, member{"instance", str(p.Instance)})
	}
	members = append(members, p.extensions()...)
	body := []byte{'{'}
	for i, m := range members {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(append(body, str(m.name)...), ':')
		body = append(body, m.value...)
	}
	return append(body, '}', '\n')
}

// html returns a page without styles or scripts, so that no policy of the application can
// break it.
func (p *Problem) html() []byte {
	var sb strings.Builder
	title := html.EscapeString(p.Title)
	fmt.Fprintf(&sb, "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n"+
		"<meta name=\"color-scheme\" content=\"light dark\">\n<title>%s</title>\n<h1>%d %s</h1>\n", title, p.Status, title)
	if p.Detail != "" {
		fmt.Fprintf(&sb, "<p>%s</p>\n", html.EscapeString(p.Detail))
	}
	more := p.more()
	if len(more) > 0 {
		sb.WriteString("<dl>\n")
		for _, m := range more {
			fmt.Fprintf(&sb, "<dt>%s</dt><dd>%s</dd>\n", html.EscapeString(m.name), html.EscapeString(string(m.value)))
		}
		sb.WriteString("</dl>\n")
	}
	return []byte(strings.ToValidUTF8(sb.String(), "\uFFFD"))
}

func (p *Problem) text() []byte {
	var sb strings.Builder
	fmt.Fprintf(&sb, "%d %s\n", p.Status, p.Title)
	if p.Detail != "" {
		fmt.Fprintf(&sb, "%s\n", p.Detail)
	}
	for _, m := range p.more() {
		fmt.Fprintf(&sb, "%s: %s\n", m.name, m.value)
	}
	return []byte(strings.ToValidUTF8(sb.String(), "\uFFFD"))
}

// more returns the members shown below the title and the detail.
func (p *Problem) more() []member {
	var out []member
	if p.Type != "about:blank" {
		out = append(out, member{"type", []byte(p.Type)})
	}
	if p.Instance != "" {
		out = append(out, member{"instance", []byte(p.Instance)})
	}
	return append(out, p.extensions()...)
}
