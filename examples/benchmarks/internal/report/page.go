package report

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
)

//go:embed page.md.tmpl
var pageText string

//go:embed readme.md.tmpl
var readmeText string

// Page is the text of docs/benchmarks.md.
func (r *Results) Page() ([]byte, error) { return r.execute("page", pageText) }

// The README's numbers stand between these lines.
const (
	begin = "<!-- numbers: go run ./examples/benchmarks writes them -->\n"
	end   = "<!-- end of numbers -->\n"
)

// Readme puts the numbers into the text of the README.
func (r *Results) Readme(text []byte) ([]byte, error) {
	before, rest, ok := bytes.Cut(text, []byte(begin))
	_, after, ended := bytes.Cut(rest, []byte(end))
	if !ok || !ended {
		return nil, errors.New("report: the README has no place for numbers")
	}
	numbers, err := r.execute("readme", readmeText)
	return slices.Concat(before, []byte(begin), numbers, []byte(end), after), err
}

func (r *Results) execute(name, text string) ([]byte, error) {
	t, err := template.New(name).Option("missingkey=error").Funcs(template.FuncMap{
		"machines":  r.machines,
		"peers":     r.peerTable,
		"ratios":    r.ratioTable,
		"better":    r.better,
		"median":    r.median,
		"bench":     r.bench,
		"ratio":     r.benchRatio,
		"compare":   r.compare,
		"ways":      func() []titled { return ways },
		"pipelines": func() []titled { return pipelines },
		"list":      func(s ...string) []string { return s },
		"float":     func(s string) (float64, error) { return strconv.ParseFloat(s, 64) },
		"whole":     func(v float64) string { return number(math.Round(v)) },
		"trim":      strings.TrimSpace,
		"micros":    func(ns float64) string { return number(ns / 1000) },
		"cell":      func(s string) string { return strings.ReplaceAll(s, "|", `\|`) },
		"number":    anyNumber,
		"sub":       func(a, b float64) float64 { return a - b },
		"div":       func(a, b float64) float64 { return a / b },
	}).Parse(text)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := t.Execute(&out, r); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// machines says where things were measured.
func (r *Results) machines() (string, error) {
	measured := map[string][]string{}
	for name, m := range r.Machines {
		day, err := time.Parse(time.DateOnly, m.Date)
		if err != nil {
			return "", err
		}
		where := fmt.Sprintf("%d CPUs (%s), %s of memory, %s, %s, %s", m.CPUs, m.CPU, m.Memory, m.Kernel, m.Go, day.Format("2 January 2006"))
		measured[where] = append(measured[where], "`"+name+"`")
	}
	if len(measured) == 1 {
		for where := range measured {
			return where + ".", nil
		}
	}
	var list strings.Builder
	for _, where := range slices.Sorted(maps.Keys(measured)) {
		fmt.Fprintf(&list, "\n- %s: %s.", strings.Join(slices.Sorted(slices.Values(measured[where])), ", "), where)
	}
	return list.String(), nil
}

// titled is a benchmark and what it is called in a table.
type titled struct{ Name, Title string }

var (
	ways = []titled{
		{"EchoByProtocol/http1/eventloop", "HTTP/1.1, event loop"},
		{"EchoByProtocol/http1/goroutine", "HTTP/1.1, goroutine"},
		{"EchoByProtocol/http2", "HTTP/2 without TLS"},
		{"EchoByProtocol/http1/tls", "HTTP/1.1 with TLS"},
		{"EchoByProtocol/http2/tls", "HTTP/2 with TLS"},
	}
	pipelines = []titled{
		{"PassThrough/bare", "bare handler"},
		{"PassThrough/ten-nested-by-hand", "ten closures nested by hand"},
		{"PassThrough/ten-in-a-pipeline", "ten components in a pipeline"},
		{"Observe/HTTP1", "observing net/http's writer for HTTP/1"},
		{"Observe/HTTP2", "its writer for HTTP/2"},
		{"Observe/HTTP1-ten-of-them", "ten observing components"},
		{"Observe/HTTP1-by-httpsnoop", "HTTP/1 through httpsnoop, as any other writer"},
		{"Map/miss", "Map that does not match"},
		{"Map/miss_ten", "ten of these"},
		{"Map/match", "Map that matches"},
		{"Map/match_three_nested", "three nested, all match"},
		{"Map/preserve_path", "Map with PreservePath that matches"},
	}
)

// bench is the median of a benchmark's figure.
func (r *Results) bench(name, unit string) (float64, error) {
	b, ok := r.Benchmarks[name]
	if !ok {
		return 0, fmt.Errorf("there is no benchmark %q", name)
	}
	return b.Median(unit)
}

func (r *Results) benchRatio(name, to, unit string) (string, error) {
	a, err := r.bench(name, unit)
	if err != nil {
		return "", err
	}
	b, err := r.bench(to, unit)
	return times(a / b), err
}

// median is a server's figure.
func (r *Results) median(server, figure string) (float64, error) {
	for _, s := range r.Peers {
		if s.Name == server && len(s.Figures[figure]) > 0 {
			return harness.Median(s.Figures[figure]), nil
		}
	}
	return 0, fmt.Errorf("%s has no %q", server, figure)
}

// compare is how much of our event loop's figure a server's is: the median of the
// ratios of each round.
func (r *Results) compare(server, figure string) (string, error) {
	ratio, err := r.ratioOf(server, loop, figure)
	return times(ratio), err
}

func times(ratio float64) string { return fmt.Sprintf("%.2f ×", ratio) }

func anyNumber(v any) (string, error) {
	switch v := v.(type) {
	case int:
		return number(float64(v)), nil
	case int64:
		return number(float64(v)), nil
	case float64:
		return number(v), nil
	}
	return "", fmt.Errorf("%v is a %T, no number", v, v)
}

// number writes a figure with three digits that count, or all before the point.
func number(v float64) string {
	digits := 0
	if v != math.Trunc(v) {
		digits = max(0, 2-int(math.Floor(math.Log10(math.Abs(v)))))
	}
	s := strconv.FormatFloat(v, 'f', min(digits, 2), 64)
	whole, fraction, _ := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction != "" {
		return whole + "." + fraction
	}
	return whole
}
