package report

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNumber(t *testing.T) {
	for want, v := range map[string]float64{
		"0": 0, "5": 5, "0.00": 0.0004, "0.41": 0.4109, "5.28": 5.281, "50.5": 50.49, "931": 931.4, "8,903": 8902.6, "15,000": 15000, "1,234,567": 1234567, "-1,500": -1500, "-150": -150,
	} {
		require.Equal(t, want, number(v))
	}
	_, err := anyNumber("1")
	require.ErrorContains(t, err, "is a string")
}

// servers is a comparison of four, in two rounds of three.
func servers() *Results {
	all := func(v ...float64) map[string][]float64 {
		m := map[string][]float64{}
		for _, f := range figures {
			m[f.key] = v
		}
		return m
	}
	r := &Results{Peers: []Server{
		{Name: loop, Figures: all(10, 20, 30)},
		{Name: goroutines, Figures: all(20, 40, 60)},
		{Name: "gws", Version: "v1.8.9", Figures: all(15, 31, 45)},
		{Name: "plain TCP, epoll", Limit: true, Figures: all(5, 10, 15)},
	}}
	r.Peers[2].Figures = all(15, 31, 45)
	r.Peers[2].Figures["open_cpu_us"] = []float64{5, 10, 27}
	return r
}

func TestTables(t *testing.T) {
	r := servers()
	ratios, err := r.ratioTable()
	require.NoError(t, err)
	lines := strings.Split(ratios, "\n")
	require.Equal(t, "| | idle socket | opening one | echo, 100 sockets | 1,000 | delivery to 1,000 | to 10,000 | to 1,000, 8 in flight |", lines[0])
	require.Equal(t, "| **Speaking Tube, goroutines** | 2.00 | 2.00 | 2.00 | 2.00 | 2.00 | 2.00 | 2.00 |", lines[3])
	require.Equal(t, "| gws 1.8.9 | 1.50 | 0.50 | 1.50 | 1.50 | 1.50 | 1.50 | 1.50 |", lines[4], "the median of the rounds' ratios")
	peers, err := r.peerTable()
	require.NoError(t, err)
	require.Contains(t, peers, "| gws 1.8.9 | 31 | 10 | 31 |")
	require.Contains(t, peers, "| *plain TCP, epoll* | 10 |")

	better, err := r.better()
	require.NoError(t, err)
	require.Equal(t, []string{
		"- gws: an idle socket costs 0.75 × ours with the goroutine driver.",
		"- gws: opening a connection costs 0.50 × ours with the event loop, and 0.25 × ours with the goroutine driver.",
	}, strings.Split(better, "\n")[:2], "and the limit is not named")
	r.Peers = r.Peers[:2]
	better, err = r.better()
	require.NoError(t, err)
	require.Contains(t, better, "In none")

	r.Peers[1].Figures["idle_bytes"] = []float64{1, 0, 1}
	_, err = r.ratioTable()
	require.ErrorContains(t, err, `"idle_bytes" of Speaking Tube, goroutines or Speaking Tube, event loop is 0 or 20 in round 2: too little was measured`)
	r.Peers[1].Figures["idle_bytes"] = nil
	_, err = r.ratioTable()
	require.ErrorContains(t, err, "Speaking Tube, goroutines has 0 figures")
	_, err = r.peerTable()
	require.ErrorContains(t, err, `has no "idle_bytes"`)
}

func TestMachines(t *testing.T) {
	m := Machine{CPU: "Z80", CPUs: 2, Memory: "1 GiB", Kernel: "Linux 6.18", Go: "go1.26.8", Date: "2026-11-21"}
	other := m
	other.Date = "2026-12-01"
	r := &Results{Machines: map[string]Machine{"a": m, "b": m}}
	got, err := r.machines()
	require.NoError(t, err)
	require.Equal(t, "2 CPUs (Z80), 1 GiB of memory, Linux 6.18, go1.26.8, 21 November 2026.", got)
	r.Machines["c"] = other
	got, err = r.machines()
	require.NoError(t, err)
	require.Contains(t, got, "\n- `c`: 2 CPUs (Z80), 1 GiB of memory, Linux 6.18, go1.26.8, 1 December 2026.")
	require.Contains(t, got, "\n- `a`, `b`: ")
}

func TestChart(t *testing.T) {
	drawing, err := chart("A & B", []panel{
		{Title: "<one>", Bars: []bar{{"slow", 30, "30 µs", "theirs"}, {"fast", 1.5, "1.5 µs", "ours"}}},
		{Title: "two", Bars: []bar{{"limit", 1, "1", "limit"}}},
	})
	require.NoError(t, err)
	d := xml.NewDecoder(strings.NewReader(string(drawing)))
	var texts []string
	var widths []string
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		switch token := token.(type) {
		case xml.CharData:
			if s := strings.TrimSpace(string(token)); s != "" && !strings.Contains(s, "{") {
				texts = append(texts, s)
			}
		case xml.StartElement:
			if token.Name.Local == "rect" {
				for _, a := range token.Attr {
					if a.Name.Local == "width" {
						widths = append(widths, a.Value)
					}
				}
			}
		}
	}
	require.Equal(t, []string{"A & B", "fast 1.5 µs, slow 30 µs, limit 1", "<one>", "fast", "1.5 µs", "slow", "30 µs", "two", "limit", "1"}, texts, "the smallest first")
	require.Equal(t, []string{"21.0", "420.0", "420.0"}, widths)
	_, err = chart("empty", []panel{{Title: "nothing"}})
	require.Error(t, err)
}

func TestReadmeNeedsAPlace(t *testing.T) {
	_, err := servers().Readme([]byte("# Readme\n"))
	require.ErrorContains(t, err, "no place")
	got, err := servers().Readme([]byte("before\n" + begin + "old\n" + end + "after\n"))
	require.NoError(t, err)
	require.Contains(t, string(got), "| gws | 1.50 × | 1.50 × | 1.50 × |\n")
	require.True(t, strings.HasPrefix(string(got), "before\n"+begin))
	require.True(t, strings.HasSuffix(string(got), end+"after\n"))
	require.NotContains(t, string(got), "old")
}
