package golden_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// testCase is a line of corpus.jsonl.
type testCase struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Raw     string   `json:"raw"`     // each character is one byte
	Then    []string `json:"then"`    // more pieces, each sent when something has arrived
	Methods []string `json:"methods"` // of the requests in raw, if not the first word
	ETagOf  string   `json:"etag_of"` // a path whose ETag replaces {etag}
	Body    string   `json:"body"`    // "ignore": the bodies do not count
	Linger  int      `json:"linger"`  // how long to watch, only for the programs that recorded
}

func (c *testCase) pipeline() string {
	name, _, _ := strings.Cut(c.ID, "/")
	return name
}

func (c *testCase) methods() []string {
	if len(c.Methods) > 0 {
		return c.Methods
	}
	first, _, _ := strings.Cut(c.Raw, " ")
	return []string{first}
}

// lengthVaries reports whether the length of the body does not count: it contains what does
// not count, or a time in milliseconds.
func (c *testCase) lengthVaries() bool {
	return c.Body == "ignore" || c.pipeline() == "responsetime"
}

// result is a line of aspnet.jsonl and ours.jsonl.
type result struct {
	ID         string   `json:"id"`
	Answers    []answer `json:"answers"`
	Connection string   `json:"connection"`
	Events     []string `json:"events"`
	Timeout    bool     `json:"timeout,omitempty"`
	Rest       blob     `json:"rest,omitzero"`
}

type answer struct {
	Status     int                 `json:"status"`
	Reason     string              `json:"reason"`
	Version    string              `json:"version"`
	Framing    string              `json:"framing"`
	Headers    map[string][]string `json:"headers"`
	Body       blob                `json:"body,omitzero"`
	Incomplete bool                `json:"incomplete,omitempty"`
}

// blob is a text, or the length and the beginning of the SHA-256 of a long one.
type blob struct {
	present bool
	text    string
	length  int
	sum     string
}

// IsZero implements the interface of encoding/json for omitzero.
func (b blob) IsZero() bool { return !b.present }

func (b blob) MarshalJSON() ([]byte, error) {
	if b.sum != "" {
		return json.Marshal(map[string]any{"length": b.length, "sha256": b.sum})
	}
	return marshal(b.text)
}

func (b *blob) UnmarshalJSON(data []byte) error {
	b.present = true
	if data[0] == '"' {
		return json.Unmarshal(data, &b.text)
	}
	var long struct {
		Length int    `json:"length"`
		SHA256 string `json:"sha256"`
	}
	err := json.Unmarshal(data, &long)
	b.length, b.sum = long.Length, long.SHA256
	return err
}

func (b blob) String() string {
	if b.sum != "" {
		return fmt.Sprintf("%d bytes, SHA-256 %s…", b.length, b.sum)
	}
	return b.text
}

// ignored is the text of a body that does not count.
const ignored = "<ignored>"

// maxText is the length above which a body is only its length and hash.
const maxText = 2048

// readable returns data as printable text, as the recorders wrote it.
func readable(data []byte) blob {
	if len(data) > maxText {
		sum := sha256.Sum256(data)
		return blob{present: true, length: len(data), sum: hex.EncodeToString(sum[:8])}
	}
	var sb strings.Builder
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&sb, `\x%02x`, data[0])
		case r == '\n' || unicode.IsPrint(r):
			sb.WriteRune(r)
		case r == '\t':
			sb.WriteString(`\t`)
		case r == '\r':
			sb.WriteString(`\r`)
		case r < 0x100:
			fmt.Fprintf(&sb, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&sb, `\u%04x`, r)
		default:
			fmt.Fprintf(&sb, `\U%08x`, r)
		}
		data = data[size:]
	}
	return blob{present: true, text: sb.String()}
}

// validText writes bytes that are not UTF-8 as escapes.
func validText(s string) string {
	var sb strings.Builder
	for i, r := range s {
		if r == utf8.RuneError && s[i] != "\uFFFD"[0] {
			fmt.Fprintf(&sb, `\x%02x`, s[i])
		} else {
			sb.WriteRune(r)
		}
	}
	return sb.String()
}

// normalizer replaces what differs from run to run.
type normalizer struct{ server, client *regexp.Regexp }

func newNormalizer(serverPort, clientPort string) normalizer {
	return normalizer{regexp.MustCompile(`\b` + serverPort + `\b`), regexp.MustCompile(`\b` + clientPort + `\b`)}
}

func (n normalizer) ports(s string) string {
	return n.client.ReplaceAllString(n.server.ReplaceAllString(s, "<port>"), "<client port>")
}

const fixtureDate = "Thu, 02 Jan 2020 03:04:05 GMT"

var (
	dateValue   = regexp.MustCompile(`^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$`)
	digits      = regexp.MustCompile(`\d+`)
	boundary    = regexp.MustCompile(`boundary="?([^";]+)`)
	traceID     = regexp.MustCompile(`"traceId":\s*"[^"]*"`)
	timeNeeded  = regexp.MustCompile(`Time needed: \d+ms`)
	strongValue = regexp.MustCompile(`^"[^"]*"$`)
)

func (n normalizer) header(h header) string {
	switch v := h.value; {
	case h.name == "etag" && strings.HasPrefix(v, "W/"):
		return "weak"
	case h.name == "etag" && strongValue.MatchString(v):
		return "strong"
	case h.name == "last-modified" && v == fixtureDate:
		return "<fixture>"
	case h.name == "last-modified" && dateValue.MatchString(v):
		return "<date>"
	case h.name == "x-response-time":
		return digits.ReplaceAllString(v, "N")
	case h.name == "content-type" && boundary.MatchString(v):
		return v[:strings.Index(v, "boundary=")] + "boundary=<boundary>"
	default:
		return n.ports(latin1(v))
	}
}

// latin1 reads each byte as a character, as the recorders did.
func latin1(s string) string {
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}

func (n normalizer) answer(a *rawAnswer, c *testCase) answer {
	out := answer{Status: a.status, Reason: a.reason, Version: a.version, Framing: a.framing, Incomplete: a.incomplete, Headers: map[string][]string{}}
	for _, h := range a.headers {
		if h.name != "date" && h.name != "server" && !(h.name == "content-length" && c.lengthVaries()) {
			out.Headers[h.name] = append(out.Headers[h.name], n.header(h))
		}
	}
	switch {
	case a.body == nil:
	case c.Body == "ignore":
		out.Body = blob{present: true, text: ignored}
	default:
		body := traceID.ReplaceAll(a.body, []byte(`"traceId":"<id>"`))
		if m := boundary.FindStringSubmatch(a.get("content-type")); m != nil {
			body = []byte(strings.ReplaceAll(string(body), m[1], "<boundary>"))
		}
		out.Body = readable(timeNeeded.ReplaceAll(body, []byte("Time needed: Nms")))
		out.Body.text = n.ports(out.Body.text)
	}
	return out
}

// result returns what there is of the answer to a case.
func (n normalizer) result(c *testCase, w *wire, events []string) *result {
	data, state := w.received()
	answers, rest, _ := parseAnswers(data, c.methods(), state != "open")
	res := &result{ID: c.ID, Connection: state, Answers: []answer{}, Events: []string{}}
	for _, a := range answers {
		res.Answers = append(res.Answers, n.answer(a, c))
	}
	for _, e := range events {
		res.Events = append(res.Events, n.ports(validText(e)))
	}
	if c.pipeline() == "health" { // the checks run side by side
		slices.Sort(res.Events)
	}
	if len(rest) > 0 {
		res.Rest = readable(rest)
	}
	return res
}
