package middleware

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

// AccessLogFormat is the format of AccessLogOptions.Text.
type AccessLogFormat string

// The formats of AccessLogOptions.Text. Secrets in the query, and in
// that of the Referer, are redacted, as in records.
const (
	// CommonFormat is the Common Log Format of the Apache server, "%h %l %u %t \"%r\" %>s %b":
	//
	//	203.0.113.7 - ada [31/Jan/2026:15:04:05 +0000] "GET /x?y=1 HTTP/1.1" 200 2326
	CommonFormat AccessLogFormat = "common"

	// CombinedFormat is CommonFormat with the Referer and the User-Agent:
	//
	//	203.0.113.7 - ada [31/Jan/2026:15:04:05 +0000] "GET /x?y=1 HTTP/1.1" 200 2326 "https://example.com/" "curl/8.5.0"
	CombinedFormat AccessLogFormat = "combined"

	// W3CFormat is the Extended Log File Format of the W3C, with times in UTC, time-taken in
	// milliseconds as from IIS and ASP.NET Core, and "+" for spaces. The first line is preceded
	// by the directives #Version and #Fields.
	//
	//	2026-01-31 15:04:05 203.0.113.7 ada GET /x y=1 200 2326 12 HTTP/1.1 example.com curl/8.5.0 https://example.com/
	W3CFormat AccessLogFormat = "w3c"
)

const w3cDirectives = "#Version: 1.0\n" +
	"#Fields: date time c-ip cs-username cs-method cs-uri-stem cs-uri-query sc-status sc-bytes time-taken cs-version cs-host cs(User-Agent) cs(Referer)\n"

// accessText writes the lines of AccessLogOptions.Text.
type accessText struct {
	format AccessLogFormat

	mu    sync.Mutex
	w     io.Writer
	begun bool // the directives are written
}

func newAccessText(opts AccessLogOptions, bad *configProblems) *accessText {
	switch {
	case opts.Text == nil && (opts.Format != "" || opts.User != nil):
		bad.addf("Format and User have no effect without Text: set it to a writer")
	case opts.Text == nil:
		return nil
	case opts.Logger != nil || opts.Attrs != nil || opts.Host || opts.Protocol || opts.UserAgent:
		bad.addf("Logger, Attrs, Host, Protocol and UserAgent have no effect with Text: leave them out, or use a second AccessLog")
	}
	switch opts.Format {
	case CommonFormat, CombinedFormat, W3CFormat:
	default:
		bad.addf("Format is %q: use CommonFormat, CombinedFormat or W3CFormat", opts.Format)
	}
	return &accessText{format: opts.Format, w: opts.Text}
}

// write writes the line of a request.
func (t *accessText) write(rec *accessRecord, status int, bytes int64) {
	user := ""
	if rec.log.User != nil {
		user = rec.log.User(rec.r)
	}
	client := rec.remote
	if host, _, err := net.SplitHostPort(rec.remote); err == nil {
		client = host
	}
	var line []byte
	if t.format == W3CFormat {
		line = rec.appendW3C(client, user, status, bytes)
	} else {
		line = rec.appendApache(client, user, status, bytes, t.format == CombinedFormat)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.begun && t.format == W3CFormat {
		line = append([]byte(w3cDirectives), line...)
	}
	t.begun = true
	_, _ = t.w.Write(line) // a request does not fail because of its log
}

// appendApache returns the line in the formats of Apache.
func (rec *accessRecord) appendApache(client, user string, status int, bytes int64, combined bool) []byte {
	line := make([]byte, 0, 256)
	line = append(line, dash(escapeApache(client, true))...)
	line = append(line, " - "...)
	line = append(line, dash(escapeApache(user, true))...)
	line = rec.start.AppendFormat(line, " [02/Jan/2006:15:04:05 -0700] ")
	line = append(line, '"')
	line = append(line, escapeApache(rec.r.Method+" "+rec.url()+" "+rec.r.Proto, false)...)
	line = append(line, `" `...)
	line = append(line, positive(int64(status))...)
	line = append(line, ' ')
	line = append(line, positive(bytes)...)
	if combined {
		line = append(line, ` "`...)
		line = append(line, dash(escapeApache(rec.redacted(rec.r.Referer()), false))...)
		line = append(line, `" "`...)
		line = append(line, dash(escapeApache(rec.r.UserAgent(), false))...)
		line = append(line, '"')
	}
	return append(line, '\n')
}

// appendW3C returns the line in the format of the W3C.
func (rec *accessRecord) appendW3C(client, user string, status int, bytes int64) []byte {
	stem, query, _ := strings.Cut(rec.url(), "?")
	line := rec.start.UTC().AppendFormat(make([]byte, 0, 256), "2006-01-02 15:04:05")
	for _, field := range []string{
		client, user, rec.r.Method, stem, query, positive(int64(status)), strconv.FormatInt(bytes, 10),
		strconv.FormatInt(time.Since(rec.start).Milliseconds(), 10), rec.r.Proto, rec.r.Host, rec.r.UserAgent(), rec.redacted(rec.r.Referer()),
	} {
		line = append(line, ' ')
		line = append(line, dash(escapeW3C(field))...)
	}
	return append(line, '\n')
}

// dash returns "-" for an empty field.
func dash(field string) string {
	if field == "" {
		return "-"
	}
	return field
}

// positive returns a number as text, and "-" for 0: nothing was sent.
func positive(n int64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatInt(n, 10)
}

// escapeApache escapes what could forge a line, as Apache does. A field without quotes has no
// spaces either.
func escapeApache(s string, unquoted bool) string {
	return escapeField(s, func(c byte) string {
		switch {
		case c == '"' || c == '\\':
			return `\` + string(rune(c))
		case c < ' ' || c >= 0x7f || c == ' ' && unquoted:
			return fmt.Sprintf(`\x%02x`, c)
		}
		return ""
	})
}

// escapeW3C replaces spaces by plus signs, and escapes control characters as in a URL.
func escapeW3C(s string) string {
	return escapeField(s, func(c byte) string {
		switch {
		case c == ' ':
			return "+"
		case c < ' ' || c >= 0x7f:
			return fmt.Sprintf("%%%02X", c)
		}
		return ""
	})
}

// escapeField replaces the bytes for which escape returns a text. Fields have at most
// maxLogged bytes: clients choose them.
func escapeField(s string, escape func(c byte) string) string {
	s = httpx.Truncate(s, maxLogged)
	var sb strings.Builder
	kept := 0
	for i := range len(s) {
		if text := escape(s[i]); text != "" {
			sb.WriteString(s[kept:i])
			sb.WriteString(text)
			kept = i + 1
		}
	}
	if kept == 0 {
		return s
	}
	sb.WriteString(s[kept:])
	return sb.String()
}
