package handshake

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/speakingtube/speakingtube/internal/httpx"
)

// ErrAnswer is returned if the server's answer is not a valid 101, or not HTTP (RFC 6455,
// section 4.1).
var ErrAnswer = errors.New("the server's answer is not a WebSocket handshake")

// Limits of the answer to a handshake or to a CONNECT.
const (
	maxHead    = 64 << 10 // bytes of all heads, interim answers included
	maxInterim = 16       // interim answers
)

var errHeadTooBig = fmt.Errorf("its head is bigger than %d bytes", maxHead)

// headReader reads at most left bytes.
type headReader struct {
	r    io.Reader
	left int
}

// Read implements io.Reader.
func (h *headReader) Read(p []byte) (int, error) {
	if h.left <= 0 {
		return 0, errHeadTooBig
	}
	n, err := h.r.Read(p[:min(len(p), h.left)])
	h.left -= n
	return n, err
}

// headError is the error of an answer that is not HTTP, or whose header is malformed. An
// error of the network is none.
type headError struct{ error }

// wrongHead returns a headError.
func wrongHead(format string, args ...any) error { return headError{fmt.Errorf(format, args...)} }

// statusLine is the first line of an answer.
type statusLine struct {
	minor  byte // of the version of HTTP, which is 1
	status int
	reason string
}

// readFinalStatus reads the first line of an answer, behind any interim answers: a client
// must be able to read these although it expects none (RFC 9110, section 15.2). A 101 is
// final here.
func readFinalStatus(br *bufio.Reader) (statusLine, error) {
	for range maxInterim + 1 {
		line, err := readStatusLine(br)
		if err != nil || line.status/100 != 1 || line.status == http.StatusSwitchingProtocols {
			return line, err
		}
		if _, err := readHeader(br); err != nil {
			return line, err
		}
	}
	return statusLine{}, wrongHead("it has more than %d interim answers (1xx)", maxInterim)
}

// readStatusLine reads the first line of an answer. Empty lines before it are ignored, as
// RFC 9112, section 2.2, advises for requests.
func readStatusLine(br *bufio.Reader) (statusLine, error) {
	for {
		text, err := readLine(br)
		switch {
		case err == nil && text == "":
			continue
		case errors.Is(err, io.ErrUnexpectedEOF) && !isPrefixFold("HTTP/", text):
			return statusLine{}, wrongHead("it begins with %q and not with a version of HTTP", httpx.Truncate(text, maxQuoted))
		case err != nil:
			return statusLine{}, err
		}
		return parseStatusLine(text)
	}
}

// isPrefixFold reports whether one of the strings begins with the other, ignoring case.
func isPrefixFold(a, b string) bool {
	n := min(len(a), len(b))
	return strings.EqualFold(a[:n], b[:n])
}

// parseStatusLine parses the first line of an answer (RFC 9112, section 4). It also accepts
// more than one space, a version in lower case, and an answer without a reason and the space
// before it.
func parseStatusLine(text string) (statusLine, error) {
	version, rest, _ := strings.Cut(text, " ")
	if len(version) != len("HTTP/1.1") || !strings.EqualFold(version[:7], "HTTP/1.") || !isDigit(version[7]) {
		return statusLine{}, wrongHead("it begins with %q and not with HTTP/1.1", httpx.Truncate(text, maxQuoted))
	}
	code, reason, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	if code = strings.TrimRight(code, "\t"); len(code) != 3 || !isDigit(code[0]) || !isDigit(code[1]) || !isDigit(code[2]) {
		return statusLine{}, wrongHead("its status line %q has no status of three digits", httpx.Truncate(text, maxQuoted))
	}
	status := int(code[0]-'0')*100 + int(code[1]-'0')*10 + int(code[2]-'0')
	return statusLine{version[7] - '0', status, strings.Trim(reason, " \t")}, nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// readHeader reads the header of an answer and the empty line after it. It accepts more than
// net/http does: lines before the first header that begin with a space (RFC 9112, section
// 2.2, allows to ignore them), and spaces before a colon, which only a server must refuse
// (section 5.1). It joins folded lines with a space (section 5.2). Like browsers, it ignores
// headers whose name is not a token.
func readHeader(br *bufio.Reader) (http.Header, error) {
	h := make(http.Header)
	// Of the last line, which may continue. The value is no string: each of thousands of
	// continuations would copy it.
	var name string
	var value []byte
	for {
		line, err := readLine(br)
		if err != nil {
			return nil, err
		}
		if line != "" && (line[0] == ' ' || line[0] == '\t') {
			if more := strings.Trim(line, " \t"); more != "" && len(value) > 0 {
				value = append(append(value, ' '), more...)
			} else {
				value = append(value, more...)
			}
			continue
		}
		if name != "" {
			if !httpx.IsFieldValue(string(value)) {
				return nil, wrongHead("its header %s has a control character", name)
			}
			h[name] = append(h[name], string(value))
		}
		if line == "" {
			return h, nil
		}
		before, after, colon := strings.Cut(line, ":")
		if name = strings.TrimRight(before, " \t"); !colon || name == "" {
			return nil, wrongHead("its header line %q has no name and colon", httpx.Truncate(line, maxQuoted))
		}
		if !httpx.IsToken(name) {
			name = "" // the line is ignored
		}
		name, value = http.CanonicalHeaderKey(name), append(value[:0], strings.Trim(after, " \t")...)
	}
}

// readLine reads a line without its end, which is CRLF or LF (RFC 9112, section 2.2). If the
// connection ends before, it returns the text so far and io.ErrUnexpectedEOF.
func readLine(br *bufio.Reader) (string, error) {
	line, err := br.ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	} else if errors.Is(err, errHeadTooBig) {
		err = headError{err}
	}
	line = bytes.TrimSuffix(line, []byte("\n"))
	return string(bytes.TrimSuffix(line, []byte("\r"))), err
}
