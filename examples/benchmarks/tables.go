package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
)

// pages are the files with tables. A table is between two comments:
//
//	<!-- table: name of a measurement, then the columns -->
//	<!-- end of table -->
var pages = []string{"README.md", "docs/benchmarks.md", "docs/reliability.md"}

var place = regexp.MustCompile(`(?s)(<!-- table: (\S+)((?: \S+)*) -->\n).*?(<!-- end of table -->)`)

// writeTables writes the tables of all pages and prints the pages that have changed. With
// check it writes nothing, and fails if one would change.
func writeTables(root string, check bool, stdout io.Writer) error {
	for _, page := range pages {
		file := filepath.Join(root, filepath.FromSlash(page))
		old, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		text := place.ReplaceAllStringFunc(string(old), func(match string) string {
			m := place.FindStringSubmatch(match)
			table, failed := render(root, m[2], strings.Fields(m[3]))
			if failed != nil {
				err = fmt.Errorf("%s, table %s: %w", page, m[2], failed)
			}
			return m[1] + table + m[4]
		})
		if err != nil {
			return err
		}
		if text == string(old) {
			continue
		}
		if check {
			return fmt.Errorf("%s differs from the stored figures; go run ./examples/benchmarks -render writes it", page)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
		fmt.Fprintln(stdout, "wrote", page)
	}
	return nil
}

// render returns a table in Markdown.
func render(root, name string, columns []string) (string, error) {
	switch {
	case name == "machines":
		return machines(root)
	case name == "peers" || name == "peers-ratios":
		var report struct{ Result []server }
		_, err := load(root, "peers", &report)
		if err != nil {
			return "", err
		}
		return peers(report.Result, columns, name == "peers-ratios")
	case strings.HasPrefix(name, "go-"):
		figures := map[string]map[string][]float64{}
		_, err := load(root, name, &figures)
		return benchmarks(figures, columns), err
	}
	var report harness.Report
	_, err := load(root, name, &report)
	return checks(report.Checks), err
}

// row formats one line of a table.
func row(cells ...string) string {
	for i, cell := range cells {
		cells[i] = strings.ReplaceAll(cell, "|", `\|`)
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

func head(cells ...string) string {
	return row(cells...) + strings.Repeat("| --- ", len(cells)) + "|\n"
}

// machines lists where and when the figures were measured.
func machines(root string) (string, error) {
	names := map[string][]string{}
	for _, m := range measurements {
		where, err := load(root, m.name, new(any))
		if err != nil {
			return "", err
		}
		names[where.String()] = append(names[where.String()], "`"+m.name+"`")
	}
	table := head("figures", "machine")
	for _, where := range slices.Sorted(maps.Keys(names)) {
		table += row(strings.Join(names[where], ", "), where)
	}
	return table, nil
}

func checks(list []harness.Check) string {
	table := head("", "measured", "bound")
	for _, c := range list {
		if !c.OK {
			c.Value += " **missed**"
		}
		table += row(c.Name, c.Value, c.Bound)
	}
	return table
}

// benchmarks has the medians of the units.
func benchmarks(figures map[string]map[string][]float64, units []string) string {
	table := head(append([]string{"benchmark"}, units...)...)
	for _, name := range slices.Sorted(maps.Keys(figures)) {
		cells := []string{"`" + name + "`"}
		for _, unit := range units {
			cells = append(cells, number(harness.Median(figures[name][unit])))
		}
		table += row(cells...)
	}
	return table
}

// server has the stored figures of a server, of each round.
type server struct {
	Name, Version string
	Figures       map[string][]float64
}

var titles = map[string]string{
	"idle_bytes": "idle socket, bytes", "open_cpu_us": "opening one, µs",
	"echo_few_cpu_us": "echo, 100 sockets, µs", "echo_many_cpu_us": "echo, 1,000 sockets, µs",
	"broadcast_cpu_us": "delivery to 1,000, µs", "broadcast_all_cpu_us": "to 10,000, µs",
	"broadcast_joined_cpu_us": "to 1,000, 8 in flight, µs",
}

// peers has the medians of the figures, or those of the ratios to the first server, which
// is the event loop.
func peers(servers []server, figures []string, ratios bool) (string, error) {
	cells := []string{""}
	for _, figure := range figures {
		title := titles[figure]
		if ratios {
			title = strings.TrimSuffix(strings.TrimSuffix(title, ", µs"), ", bytes")
		}
		cells = append(cells, title)
	}
	table := head(cells...)
	for _, s := range servers {
		cells := []string{strings.TrimSpace(s.Name + " " + strings.TrimPrefix(s.Version, "v"))}
		for _, figure := range figures {
			base, values := servers[0].Figures[figure], s.Figures[figure]
			if len(values) == 0 || len(values) != len(base) || slices.Min(base) <= 0 {
				return "", fmt.Errorf("%s has no usable figures %q", s.Name, figure)
			}
			if !ratios {
				cells = append(cells, number(harness.Median(values)))
				continue
			}
			list := make([]float64, len(values))
			for i := range values {
				list[i] = values[i] / base[i]
			}
			cells = append(cells, fmt.Sprintf("%.2f ×", harness.Median(list)))
		}
		table += row(cells...)
	}
	return table, nil
}

// number formats a figure with three significant digits, or with all digits before the
// point.
func number(v float64) string {
	digits := 0
	if v != math.Trunc(v) {
		digits = max(0, 2-int(math.Floor(math.Log10(math.Abs(v)))))
	}
	s := strconv.FormatFloat(v, 'f', min(digits, 2), 64)
	integer, fraction, _ := strings.Cut(s, ".")
	for i := len(integer) - 3; i > 0; i -= 3 {
		integer = integer[:i] + "," + integer[i:]
	}
	if fraction != "" {
		return integer + "." + fraction
	}
	return integer
}
