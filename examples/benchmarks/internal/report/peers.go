package report

import (
	"fmt"
	"strings"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
)

// Ours, by name.
const (
	loop       = "Speaking Tube, event loop"
	goroutines = "Speaking Tube, goroutines"
)

// figure is a column of the tables of servers.
type figure struct {
	key   string
	title string // of a column
	unit  string
	costs string // "costs 0.9 × of the event loop's"
}

var figures = []figure{
	{"idle_bytes", "idle socket, bytes", "bytes", "an idle socket"},
	{"open_cpu_us", "opening one, µs", "µs", "opening a connection"},
	{"echo_few_cpu_us", "echo, 100 sockets, µs", "µs", "an echo among 100 sockets"},
	{"echo_many_cpu_us", "1,000, µs", "µs", "an echo among 1,000"},
	{"broadcast_cpu_us", "delivery to 1,000, µs", "µs", "a delivery to 1,000"},
	{"broadcast_all_cpu_us", "to 10,000, µs", "µs", "a delivery to 10,000"},
	{"broadcast_joined_cpu_us", "to 1,000, 8 in flight, µs", "µs", "a delivery with 8 broadcasts in flight"},
}

// ratioOf is the median of the ratios of each round.
func (r *Results) ratioOf(server, to, figure string) (float64, error) {
	var a, b []float64
	for _, s := range r.Peers {
		if s.Name == server {
			a = s.Figures[figure]
		}
		if s.Name == to {
			b = s.Figures[figure]
		}
	}
	if len(a) == 0 || len(a) != len(b) {
		return 0, fmt.Errorf("report: %s has %d figures %q, and %s %d", server, len(a), figure, to, len(b))
	}
	ratios := make([]float64, len(a))
	for i := range a {
		if a[i] <= 0 || b[i] <= 0 {
			return 0, fmt.Errorf("report: %q of %s or %s is %g or %g in round %d: too little was measured", figure, server, to, a[i], b[i], i+1)
		}
		ratios[i] = a[i] / b[i]
	}
	return harness.Median(ratios), nil
}

// label is a server's name in a table, with its version.
func (s *Server) label() string {
	name := strings.TrimSpace(s.Name + " " + strings.TrimPrefix(s.Version, "v"))
	switch {
	case s.ours():
		return "**" + name + "**"
	case s.Limit:
		return "*" + name + "*"
	}
	return name
}

func (s *Server) ours() bool { return s.Name == loop || s.Name == goroutines }

func (s *Server) kind() string {
	switch {
	case s.ours():
		return "ours"
	case s.Limit:
		return "limit"
	}
	return "theirs"
}

func header() string {
	head, rule := "| |", "| --- |"
	for _, f := range figures {
		head += " " + f.title + " |"
		rule += " --- |"
	}
	return head + "\n" + rule
}

// ratioTable has all servers' figures as ratios to our event loop's.
func (r *Results) ratioTable() (string, error) {
	var out strings.Builder
	out.WriteString(strings.ReplaceAll(strings.ReplaceAll(header(), ", µs", ""), ", bytes", ""))
	for _, s := range r.Peers {
		fmt.Fprintf(&out, "\n| %s |", s.label())
		for _, f := range figures {
			ratio, err := r.ratioOf(s.Name, loop, f.key)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&out, " %.2f |", ratio)
		}
	}
	return out.String(), nil
}

// peerTable has them as they are, medians of the rounds.
func (r *Results) peerTable() (string, error) {
	var out strings.Builder
	out.WriteString(header())
	for _, s := range r.Peers {
		fmt.Fprintf(&out, "\n| %s |", s.label())
		for _, f := range figures {
			v, err := r.median(s.Name, f.key)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&out, " %s |", number(v))
		}
	}
	return out.String(), nil
}

// better lists what the WebSocket libraries of others do for less than one of our
// drivers.
func (r *Results) better() (string, error) {
	const tie = 0.97 // above, there is nothing to choose by
	var list []string
	for _, f := range figures {
		for _, s := range r.Peers {
			if s.ours() || s.Limit {
				continue
			}
			var than []string
			for _, ours := range []string{loop, goroutines} {
				ratio, err := r.ratioOf(s.Name, ours, f.key)
				if err != nil {
					return "", err
				}
				if ratio < tie {
					_, driver, _ := strings.Cut(ours, ", ")
					than = append(than, fmt.Sprintf("%s ours with the %s", times(ratio), map[string]string{"event loop": "event loop", "goroutines": "goroutine driver"}[driver]))
				}
			}
			if than != nil {
				list = append(list, fmt.Sprintf("- %s: %s costs %s.", s.Name, f.costs, strings.Join(than, ", and ")))
			}
		}
	}
	if list == nil {
		return "- In none of these figures is one of the others ahead.", nil
	}
	return strings.Join(list, "\n"), nil
}
