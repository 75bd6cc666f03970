package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"text/template"
)

// panel is a figure of several things, as bars.
type panel struct {
	Title string
	Bars  []bar
}

type bar struct {
	Label string
	Value float64
	Text  string // the value, as it is to be read
	Kind  string // "ours", "theirs" or "limit"
}

// The drawing's measures, in pixels.
const (
	labelWidth = 190
	barWidth   = 420
	textWidth  = 90
	barStep    = 24
	barHeight  = 16
	panelHead  = 34
	panelFoot  = 18
)

//go:embed chart.svg.tmpl
var chartText string

var chartTemplate = template.Must(template.New("chart").Funcs(template.FuncMap{
	"escape": func(s string) string {
		return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(s)
	},
}).Parse(chartText))

// chart draws panels below each other, the smallest bar of each first. The drawing
// follows the reader's choice of light or dark.
func chart(title string, panels []panel) ([]byte, error) {
	type drawnBar struct {
		bar
		Y, TextY, TextX int
		Width           float64
	}
	type drawnPanel struct {
		Title string
		Y     int
		Bars  []drawnBar
	}
	drawing := struct {
		Title, Summary string
		Width, Height  int
		Panels         []drawnPanel
	}{Title: title, Width: labelWidth + barWidth + textWidth}
	var says []string
	for _, p := range panels {
		bars := slices.SortedStableFunc(slices.Values(p.Bars), func(a, b bar) int {
			return int(a.Value*1000) - int(b.Value*1000)
		})
		if len(bars) == 0 {
			return nil, fmt.Errorf("report: %q has no bars", p.Title)
		}
		longest := bars[len(bars)-1].Value
		dp := drawnPanel{Title: p.Title, Y: drawing.Height + 20}
		y := drawing.Height + panelHead
		for _, b := range bars {
			width := max(1, b.Value/longest*barWidth)
			dp.Bars = append(dp.Bars, drawnBar{b, y, y + barHeight - 4, labelWidth + int(width) + 6, width})
			says = append(says, b.Label+" "+b.Text)
			y += barStep
		}
		drawing.Panels = append(drawing.Panels, dp)
		drawing.Height = y + panelFoot
	}
	drawing.Summary = strings.Join(says, ", ")
	var out bytes.Buffer
	if err := chartTemplate.Execute(&out, drawing); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
