package harness

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// Percentile is the pth percentile of the sorted values, the zero value of none.
func Percentile[T cmp.Ordered](sorted []T, p float64) T {
	if len(sorted) == 0 {
		var zero T
		return zero
	}
	return sorted[min(int(float64(len(sorted))*p/100), len(sorted)-1)]
}

// Median is the middle one of the values.
func Median[T cmp.Ordered](values []T) T {
	return Percentile(slices.Sorted(slices.Values(values)), 50)
}

// Check is one thing that a run had to show.
type Check struct {
	What  string `json:"what"`
	Got   string `json:"got"`
	Bound string `json:"bound"`
	OK    bool   `json:"ok"`
}

// Report prints what a program has measured, and how that stands to its bounds.
func Report(w io.Writer, asJSON bool, result any, checks []Check) error {
	return Print(w, asJSON, struct {
		Result any     `json:"result"`
		Checks []Check `json:"checks"`
	}{result, checks}, checks)
}

// Print writes result as JSON, or the checks as a table. It returns an error if
// any was missed.
func Print(w io.Writer, asJSON bool, result any, checks []Check) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		if err := enc.Encode(result); err != nil {
			return err
		}
	} else {
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "what\tmeasured\tbound\t")
		for _, c := range checks {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", c.What, c.Got, c.Bound, map[bool]string{false: "MISSED"}[c.OK])
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	missed := 0
	for _, c := range checks {
		if !c.OK {
			missed++
		}
	}
	if missed > 0 {
		return fmt.Errorf("%d of %d bounds missed", missed, len(checks))
	}
	return nil
}
