package golden_test

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var renew = flag.Bool("renew", false, "write testdata/ours.jsonl and print what differences.json does not explain")

var discard = log.New(io.Discard, "", 0)

// workers is the number of cases that run side by side. They mostly wait.
const workers = 32

// watch is how long a connection is watched that has to stay open, after all else has come.
const watch = 150 * time.Millisecond

// Each request of the corpus gets the answer of ASP.NET Core in each field, except for the
// fields that differences.json explains, which are as recorded. Each case has a server of its
// own, so that its events are its own and no case waits for another one.
func TestReplay(t *testing.T) {
	before := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	defer slog.SetDefault(before)
	r := &replay{
		pipelines: builders(), root: fixture(t),
		aspnet: readResults(t, "aspnet.jsonl"), ours: readResults(t, "ours.jsonl"), listed: readDifferences(t).fields(),
	}
	cases := readCorpus(t)
	for _, c := range cases {
		if c.lengthVaries() {
			r.aspnet[c.ID].forgetLengths()
			r.ours[c.ID].forgetLengths()
		}
	}
	require.Len(t, r.aspnet, len(cases))
	if testing.Short() {
		cases = everyTenth(cases)
	}
	outcomes := make([]outcome, len(cases))
	places := make(chan struct{}, workers)
	var wg sync.WaitGroup
	for i, c := range cases {
		places <- struct{}{}
		wg.Go(func() {
			outcomes[i] = r.run(t, c)
			<-places
		})
	}
	wg.Wait()
	r.stops.Wait()
	if *renew {
		r.write(t, outcomes)
		return
	}
	for i, c := range cases {
		if problems := outcomes[i].problems; len(problems) > 0 {
			t.Errorf("%s %s\n%s\nrequest: %q\nASP.NET Core: %s\nrecorded:     %s\nhere:         %s", c.ID, c.Name, strings.Join(problems, "\n"),
				c.Raw, show(r.aspnet[c.ID]), show(r.ours[c.ID]), show(outcomes[i].here))
		}
	}
}

// everyTenth returns a tenth of the cases of each pipeline.
func everyTenth(cases []*testCase) (some []*testCase) {
	for i, c := range cases {
		if i%10 == 0 {
			some = append(some, c)
		}
	}
	return some
}

type replay struct {
	pipelines    map[string]func(*env, *builder)
	root         string // folder of the static files
	aspnet, ours map[string]*result
	listed       map[string]map[string]string // class by case and field
	stops        sync.WaitGroup               // servers that end
}

type outcome struct {
	here     *result
	problems []string
}

// run sends one case, and sends it again if the connection was reset: a client that is held
// up for half a second sees a reset in place of the end that net/http sent before.
func (r *replay) run(t *testing.T, c *testCase) (out outcome) {
	for range 4 {
		out = r.once(t, c)
		if len(out.problems) == 0 || out.here.Connection != "reset" {
			break
		}
	}
	return out
}

// once sends one case to a server of its own, and waits until the answer has no problems, for
// as long as it may take on a slow machine.
func (r *replay) once(t *testing.T, c *testCase) outcome {
	e, stop := serve(t, r.pipelines[c.pipeline()], r.root)
	defer r.stops.Go(stop)
	w := open(t, c, e)
	n := newNormalizer(strconv.Itoa(e.port), w.clientPort)
	var out outcome
	look := func() bool {
		out.here = n.result(c, w, e.seen())
		out.problems = r.problems(out.here)
		return len(out.problems) == 0
	}
	if *renew {
		waitFor(10*time.Second, func() bool {
			data, state := w.received()
			_, _, complete := parseAnswers(data, c.methods(), state != "open")
			return complete || state != "open"
		})
		settle(look, func() string { return show(out.here) })
		_ = w.conn.Close()
		settle(look, func() string { return show(out.here) })
	} else {
		// While the connection is open, all has to come but the event of its end.
		almost := func() bool {
			if look() {
				return true
			}
			withEnd := *out.here
			withEnd.Events = append(slices.Clone(out.here.Events), "closed")
			return len(r.problems(&withEnd)) == 0
		}
		if waitFor(patience, almost) && out.here.Connection == "open" {
			waitFor(watch, func() bool { return !almost() })
		}
		_ = w.conn.Close()
		waitFor(patience, look)
	}
	return out
}

// settle calls look until what it sees has not changed for some time.
func settle(look func() bool, seen func() string) {
	quiet := time.Now()
	for last := ""; time.Since(quiet) < 6*watch; last = seen() {
		waitFor(watch/3, func() bool { return false })
		if look(); seen() != last {
			quiet = time.Now()
		}
	}
}

// problems compares the answer to a case with the recordings.
func (r *replay) problems(here *result) (problems []string) {
	listed := r.listed[here.ID]
	fromASPNET, fromOurs := differences(here, r.aspnet[here.ID]), differences(here, r.ours[here.ID])
	for _, field := range slices.Sorted(maps.Keys(fromASPNET)) {
		if listed[field] == "" {
			problems = append(problems, field+": not as ASP.NET Core's, and not in differences.json: "+fromASPNET[field])
		}
	}
	for _, field := range slices.Sorted(maps.Keys(listed)) {
		switch {
		case fromASPNET[field] == "":
			problems = append(problems, field+": as ASP.NET Core's, but listed in differences.json, class "+listed[field])
		case fromOurs[field] != "":
			problems = append(problems, field+": neither as ASP.NET Core's nor as recorded (class "+listed[field]+"): "+fromOurs[field])
		}
	}
	return problems
}

// differences returns the fields in which two results differ, with both values.
func differences(a, b *result) map[string]string {
	out := map[string]string{}
	compare := func(field string, x, y any) {
		if p, q := fmt.Sprint(x), fmt.Sprint(y); p != q {
			out[field] = fmt.Sprintf("%q instead of %q", p, q)
		}
	}
	x, interimX := a.finals()
	y, interimY := b.finals()
	compare("informational", interimX, interimY)
	compare("count", len(x), len(y))
	for i := range min(len(x), len(y)) {
		p, q, mark := x[i], y[i], ""
		if i > 0 {
			mark = fmt.Sprintf("#%d ", i+1)
		}
		compare(mark+"status", p.Status, q.Status)
		compare(mark+"version", p.Version, q.Version)
		compare(mark+"reason", p.Reason, q.Reason)
		compare(mark+"body", p.Body, q.Body)
		compare(mark+"incomplete", p.Incomplete, q.Incomplete)
		compare(mark+"framing", p.framing(), q.framing())
		for _, headers := range []map[string][]string{p.Headers, q.Headers} {
			for name := range headers {
				if name != "content-length" && name != "transfer-encoding" {
					compare(mark+"header:"+name, p.Headers[name], q.Headers[name])
				}
			}
		}
	}
	compare("connection", a.Connection, b.Connection)
	compare("events", a.Events, b.Events)
	compare("rest", a.Rest, b.Rest)
	return out
}

// framing returns all that says where the body ends.
func (a *answer) framing() []string {
	return slices.Concat([]string{a.Framing}, a.Headers["transfer-encoding"], a.Headers["content-length"])
}

// forgetLengths removes the lengths of the bodies.
func (res *result) forgetLengths() {
	for _, a := range res.Answers {
		delete(a.Headers, "content-length")
	}
}

// finals returns the final answers, and the statuses of the others.
func (res *result) finals() (finals []answer, interim []int) {
	for _, a := range res.Answers {
		if a.Status >= 200 || a.Status == 101 {
			finals = append(finals, a)
		} else {
			interim = append(interim, a.Status)
		}
	}
	return finals, interim
}

func show(res *result) string {
	text, err := marshal(res)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// marshal is json.Marshal without escapes for HTML.
func marshal(v any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

var (
	repeated = regexp.MustCompile(`\{(.)\*(\d+)\}`)
	longRuns = regexp.MustCompile(`[0-9A-Za-z]{100,}`)
)

// readLines reads a file of JSON values, in which {x*100} is a hundred x.
func readLines[T any](t *testing.T, name string) (values []*T) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	require.NoError(t, err)
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := repeated.ReplaceAllStringFunc(lines.Text(), func(s string) string {
			m := repeated.FindStringSubmatch(s)
			n, err := strconv.Atoi(m[2])
			require.NoError(t, err)
			return strings.Repeat(m[1], n)
		})
		v := new(T)
		require.NoError(t, json.Unmarshal([]byte(line), v), line)
		values = append(values, v)
	}
	require.NoError(t, lines.Err())
	return values
}

func readCorpus(t *testing.T) []*testCase { t.Helper(); return readLines[testCase](t, "corpus.jsonl") }

func readResults(t *testing.T, name string) map[string]*result {
	t.Helper()
	byID := map[string]*result{}
	for _, res := range readLines[result](t, name) {
		byID[res.ID] = res
	}
	return byID
}

// fixture writes the static files, with their time, into a folder.
func fixture(t *testing.T) string {
	t.Helper()
	var content struct {
		Modified time.Time         `json:"modified"`
		Files    map[string]string `json:"files"`
	}
	text, err := os.ReadFile(filepath.Join("testdata", "fixture.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &content))
	root := t.TempDir()
	for name, body := range content.Files {
		file := filepath.Join(root, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
		require.NoError(t, os.WriteFile(file, []byte(body), 0o600))
		require.NoError(t, os.Chtimes(file, content.Modified, content.Modified))
	}
	return root
}

// write renews the recording of this module, and prints the fields that differences.json
// does not explain or explains in vain.
func (r *replay) write(t *testing.T, outcomes []outcome) {
	t.Helper()
	var out bytes.Buffer
	for _, o := range outcomes {
		line := longRuns.ReplaceAllStringFunc(show(o.here), func(s string) string {
			if strings.Trim(s, s[:1]) != "" {
				return s
			}
			return fmt.Sprintf("{%s*%d}", s[:1], len(s))
		})
		out.WriteString(line + "\n")
		fields := differences(o.here, r.aspnet[o.here.ID])
		for _, field := range slices.SortedFunc(maps.Keys(fields), cmp.Compare) {
			if r.listed[o.here.ID][field] == "" {
				fmt.Printf("+ %s\t%s\t%s\n", o.here.ID, field, fields[field])
			}
		}
		for _, field := range slices.Sorted(maps.Keys(r.listed[o.here.ID])) {
			if fields[field] == "" {
				fmt.Printf("- %s\t%s\t%s\n", o.here.ID, field, r.listed[o.here.ID][field])
			}
		}
	}
	require.NoError(t, os.WriteFile(filepath.Join("testdata", "ours.jsonl"), out.Bytes(), 0o600))
}
