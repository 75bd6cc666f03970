package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
)

// repository is the root module's folder.
const repository = "../../.."

// The page has the rows that the program would write, whose tests are there.
func TestThePageIsTheProgramsOwn(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-check"}, &out))
}

// And the check finds it if not.
func TestCheck(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(repository, "docs", "reliability.md"))
	require.NoError(t, err)
	page := string(text)
	targets, err := fuzzTargets(repository)
	require.NoError(t, err)
	require.Greater(t, len(targets), 10)
	check := func(page string) error { return checkPage(page, repository, targets, sections) }
	require.NoError(t, check(page))
	require.ErrorContains(t, check(strings.ReplaceAll(page, end, "")), "has not both")
	require.ErrorContains(t, check(strings.Replace(page, "`TestCanaries`", "`TestChurn`", 1)), "has not the row of `TestCanaries`")
	require.ErrorContains(t, check(strings.Replace(page, end, "| more | `TestMore` | 1 |\n"+end, 1)), "does not have")
	require.ErrorContains(t, check(strings.Replace(page, "| `FuzzStream` ", "| `FuzzRiver` ", 1)), "wsmanager has no FuzzRiver")

	more := append(slices.Clone(sections), section{"More", []proof{{"more", sockets, []string{"TestThatIsNotThere"}, nil}}})
	require.ErrorContains(t, checkPage(page, repository, targets, more), "wsmanager has no TestThatIsNotThere")
}

// lines are what go test -json prints.
func lines(events ...event) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	for _, e := range events {
		_ = enc.Encode(e) // strings into a buffer
	}
	return out.Bytes()
}

// of is the events of a test that passes.
func of(pkg, test, says string) []event {
	return []event{{"run", module + "/" + pkg, test, ""}, {"output", module + "/" + pkg, test, says}, {"pass", module + "/" + pkg, test, ""}}
}

func empty() *results {
	return &results{cases: map[caseKey]int{}, coverage: coverage{}}
}

func TestCount(t *testing.T) {
	r := empty()
	all := slices.Concat(of("wsmanager", "TestA", ""), of("wsmanager", "TestB", ""), of("wsmanager", "TestB/h2", ""), of("wsmanager", "TestB/h2/x", ""), of("wsmanager", "TestB/h2/x/z", ""), of("wsmanager", "TestB/h2/y", ""), of("wsmanager", "TestB/auto", ""), of("pipeline", "TestA", ""), of("pipeline", "TestE", ""), of("pipeline", "TestE/a name/with slashes", ""))
	all = append(all, event{"run", module + "/wsmanager", "TestC", ""}, event{"skip", module + "/wsmanager", "TestC", ""})
	require.Empty(t, r.count(lines(all...)))
	require.Equal(t, map[caseKey]int{{"", "wsmanager", "TestA"}: 1, {"h2", "wsmanager", "TestB"}: 2, {"auto", "wsmanager", "TestB"}: 1, {"", "pipeline", "TestA"}: 1, {"", "pipeline", "TestE"}: 1}, r.cases)
	require.Equal(t, 6, r.total)
	failed := r.count(lines(event{"run", "p", "TestD", ""}, event{"output", "p", "TestD", "it broke\n"}, event{"fail", "p", "TestD", ""}))
	require.Equal(t, "it broke\n", failed)
	require.Contains(t, r.count([]byte("cannot build\n")), "cannot build")
}

func TestCoverageAddsUp(t *testing.T) {
	c := coverage{}
	require.NoError(t, c.add([]byte("mode: set\n"+module+"/branch/a.go:1.1,2.2 3 0\n"+module+"/branch/b.go:1.1,2.2 1 1\n")))
	require.NoError(t, c.add([]byte("mode: set\n"+module+"/branch/a.go:1.1,2.2 3 1\n"+module+"/pipeline/a.go:1.1,2.2 4 0\n")))
	all, reached := c.of("")
	require.Equal(t, []uint64{8, 4}, []uint64{all, reached})
	all, reached = c.of("branch")
	require.Equal(t, []uint64{4, 4}, []uint64{all, reached})
	require.Equal(t, []string{"pipeline/a.go:1.1,2.2"}, c.missed())
	require.ErrorContains(t, c.add([]byte("nonsense\n")), "no line of a profile")
}

// full is results with which all is well.
func full(t *testing.T) *results {
	r := empty()
	for _, s := range sections {
		for _, p := range s.proofs {
			for _, test := range p.tests {
				for _, w := range ways {
					if (p.pkg == sockets) != (w.name == "") {
						r.cases[caseKey{w.name, p.pkg, test}] = 2
					}
				}
			}
		}
	}
	delete(r.cases, caseKey{"h2", sockets, "TestConformance"})
	r.printed = strings.Repeat("1200 connections of the server, 1300 of clients\n", 2)
	for _, pkg := range covered {
		require.NoError(t, r.coverage.add([]byte(module+"/"+pkg+"/a.go:1.1,2.2 95 1\n"+module+"/"+pkg+"/a.go:3.1,4.2 5 0\n")))
	}
	r.fuzzed = []fuzzed{{target{"branch", "FuzzMap"}, 1_234_567}, {target{"wsmanager", "FuzzStream"}, 1}}
	checks := []harness.Check{{What: "heap, after 12 connections since", Got: "5 / 6 KiB", Bound: "+ 1"}}
	r.soaked = []soaked{{"eventloop", checks}, {"goroutine", checks}}
	return r
}

func TestTables(t *testing.T) {
	cfg := config{soak: time.Minute}
	text, err := full(t).tables(cfg)
	require.NoError(t, err)
	for _, want := range []string{
		"| `TestConformance` | 2 cases × event loop, goroutines |",
		"| `TestHalfOpenUpgrades`, `TestHeaderFlood`, `TestIdleHTTPConnections`, `TestClientsThatVanish` | 8 cases |",
		"2,400 connections of the server and 2,600 of clients survived; 2 cases × event loop, goroutines, HTTP/2 |",
		"| `FuzzMap` of branch | 1,234,567 |", "| all | **1,234,568** |",
		"| heap | 5 / 6 KiB | 5 / 6 KiB | + 1 |",
		"| branch | 100 | 95.0 % |", "| together | 300 | **95.0 %** |",
	} {
		require.Contains(t, text, want)
	}

	r := full(t)
	for _, w := range ways {
		delete(r.cases, caseKey{w.name, sockets, "TestCanaries"})
	}
	_, err = r.tables(cfg)
	require.ErrorContains(t, err, "TestCanaries of wsmanager has not run")
	r = full(t)
	require.NoError(t, r.coverage.add([]byte(module+"/branch/big.go:3.1,4.2 50 0\n")))
	_, err = r.tables(cfg)
	require.ErrorContains(t, err, "reach 81.4 % of the statements, and should 90")
}

func TestReplace(t *testing.T) {
	page, err := replace("before\n"+begin+"\nold\n"+end+"\nafter\n", "new")
	require.NoError(t, err)
	require.Equal(t, "before\n"+begin+"\n\nnew\n"+end+"\nafter\n", page)
	again, err := replace(page, "new")
	require.NoError(t, err)
	require.Equal(t, page, again)
	_, err = replace("no place", "new")
	require.Error(t, err)
}

func TestFlags(t *testing.T) {
	var out bytes.Buffer
	require.ErrorContains(t, run(t.Context(), []string{"-soak", "0"}, &out), "above 0")
	require.Error(t, run(t.Context(), []string{"-no-such-flag"}, &out))
}
