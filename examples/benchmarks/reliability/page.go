package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The tables stand between these.
const (
	begin = "<!-- written by go run ./examples/benchmarks/reliability: begin -->"
	end   = "<!-- end -->"
)

// least is the share of statements that tests have to reach, in percent.
const least = 90

// tables is the page's part with the figures. An error says what is no proof.
func (r *results) tables(cfg config) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "Figures of one run: %s; storm of faults %v, churn and canaries %v a run, fuzzing %v a target, soak %v a driver.\n",
		machine(), cfg.faults, cfg.churn, cfg.fuzzTime, cfg.soak)
	for _, s := range sections {
		fmt.Fprintf(&b, "\n## %s\n\n| what is promised | shown by | figure |\n| --- | --- | --- |\n", s.name)
		for _, p := range s.proofs {
			figure, err := p.figure(r)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", p.promise, p.names(), figure)
		}
	}

	b.WriteString("\n## Bytes from the network\n\n| no input panics, or is read beyond its limits | inputs tried |\n| --- | --- |\n")
	inputs := uint64(0)
	for _, f := range r.fuzzed {
		fmt.Fprintf(&b, "| `%s` of %s | %s |\n", f.name, f.pkg, thousands(f.Inputs))
		inputs += f.Inputs
	}
	fmt.Fprintf(&b, "| all | **%s** |\n", thousands(inputs))

	fmt.Fprintf(&b, "\n## Soak\n\n| after %v of load and faults | event loop | goroutines | bound |\n| --- | --- | --- | --- |\n", cfg.soak)
	loop, goroutines := r.soaked[0].checks, r.soaked[1].checks
	for i, c := range loop {
		what, _, _ := strings.Cut(c.What, ", after ") // the number of connections differs
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", what, c.Got, goroutines[i].Got, c.Bound)
	}

	b.WriteString("\n## Coverage\n\n| package | statements | reached by tests |\n| --- | --- | --- |\n")
	for _, pkg := range append(slices.Clone(covered), "") {
		all, reached := r.coverage.of(pkg)
		if all == 0 {
			return "", fmt.Errorf("no statement of %s was counted", pkg)
		}
		percent := 100 * float64(reached) / float64(all)
		if pkg == "" && percent < least {
			return "", fmt.Errorf("tests reach %.1f %% of the statements, and should %d", percent, least)
		}
		name, format := pkg, "| %s | %s | %.1f %% |\n"
		if pkg == "" {
			name, format = "together", "| %s | %s | **%.1f %%** |\n"
		}
		fmt.Fprintf(&b, format, name, thousands(all), percent)
	}
	fmt.Fprintf(&b, "\nAll in all these runs passed %s cases.\n", thousands(uint64(r.total)))
	return b.String(), nil
}

// replace puts the tables into the page.
func replace(page, tables string) (string, error) {
	before, rest, ok := strings.Cut(page, begin)
	_, after, found := strings.Cut(rest, end)
	if !ok || !found {
		return "", fmt.Errorf("the page has not both %q and %q", begin, end)
	}
	return before + begin + "\n\n" + tables + "\n" + end + after, nil
}

// fuzzRow finds a fuzz target's row.
var fuzzRow = regexp.MustCompile("(?m)^\\| `(Fuzz\\w+)` of (\\S+) \\|")

// checkPage says whether the page's rows are those of the program, and their tests there.
func checkPage(page, root string, targets []target, sections []section) error {
	there, err := functions(root)
	if err != nil {
		return err
	}
	var wrong []string
	if _, err := replace(page, ""); err != nil {
		return err
	}
	rows := 0
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "| ") && strings.Contains(line, "`Test") {
			rows++
		}
	}
	for _, s := range sections {
		for _, p := range s.proofs {
			rows--
			for _, test := range p.tests {
				if !slices.Contains(there[p.pkg], test) {
					wrong = append(wrong, fmt.Sprintf("%s has no %s", p.pkg, test))
				}
			}
			if !strings.Contains(page, fmt.Sprintf("| %s | %s | ", p.promise, p.names())) {
				wrong = append(wrong, "the page has not the row of "+p.names())
			}
		}
	}
	if rows != 0 {
		wrong = append(wrong, "the page has rows of tests that the program does not have")
	}
	for _, m := range fuzzRow.FindAllStringSubmatch(page, -1) { // a target that came later may wait for the next run
		if !slices.Contains(targets, target{m[2], m[1]}) {
			wrong = append(wrong, fmt.Sprintf("%s has no %s", m[2], m[1]))
		}
	}
	if wrong != nil {
		return fmt.Errorf("docs/reliability.md, to be written anew: %s", strings.Join(wrong, "; "))
	}
	return nil
}
