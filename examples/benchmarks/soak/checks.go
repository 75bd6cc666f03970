package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
)

// Bounds of the server's use above the baseline. Goroutines and descriptors must return
// exactly. The live heap is exact except for objects that the runtime and net/http keep for
// a while, since a pool survives one collection: heapSlack. A Conn that stays, of some 500
// bytes, would exceed it within a thousand connections. Resident memory depends on the
// occupancy of the heap's pages: a tenth, or rssSlack.
const (
	heapSlack = 256 << 10
	rssSlack  = 4 << 20
)

// above reports whether u exceeds the bounds of a baseline.
func (u usage) above(base usage) bool {
	return u.Goroutines > base.Goroutines || u.Descriptors > base.Descriptors ||
		u.Heap > base.Heap+heapSlack || u.RSS > rssBound(base)
}

func rssBound(base usage) int64 { return max(base.RSS+base.RSS/10, base.RSS+rssSlack) }

func (r *result) checks() []harness.Check {
	f, kib := r.Faults, func(b int64) string { return fmt.Sprint(b >> 10) }
	var faultsUsed []string
	for _, k := range kinds {
		faultsUsed = append(faultsUsed, fmt.Sprintf("%s %d", k.name, f.By[k.name]))
	}
	outcome := func(name, value, bound string, problems []string) harness.Check {
		return harness.Check{Name: name, Value: strings.Join(append([]string{value}, problems[:min(len(problems), 20)]...), "; "), Bound: bound, OK: len(problems) == 0}
	}
	list := []harness.Check{
		outcome("without faults: echoes sent / received", r.Echo.String(), "each once, unchanged, in order", r.Echo.problems(r.Echo.Sent)),
		outcome("without faults: broadcasts sent / received", r.Broadcast.String(), "each once by each, unchanged, in order", r.Broadcast.problems(r.Broadcast.Sent)),
		{Name: "connections by fault", Value: strings.Join(faultsUsed, ", "), Bound: "each fault", OK: len(f.By) == len(kinds)},
		{Name: "with faults: connected / failed in the handshake", Value: fmt.Sprintf("%d / %d", f.Made, f.Refused), Bound: "at least one connected", OK: f.Made > 0},
		outcome("with faults: echoes sent / received; broadcasts received", fmt.Sprintf("%d / %d; %d", f.Sent, f.Received, f.Heard), "a prefix, in order, only their own", f.problems()),
		outcome("server: connections accepted / closed / open", r.ends(), "all closed", r.unbalanced()),
		{Name: "server: handshakes refused; connections by close code", Value: r.outcomes(), Bound: "refused only because of faults", OK: r.refused() == 0},
		outcome("server: errors printed", fmt.Sprint(len(r.Printed)), "0", r.Printed),
		{Name: fmt.Sprintf("server: live heap, %d connections after the baseline", r.Since), Value: fmt.Sprintf("%s / %s KiB", kib(r.Base.Heap), kib(r.End.Heap)), Bound: "+ " + kib(heapSlack) + " KiB", OK: r.End.Heap <= r.Base.Heap+heapSlack},
		{Name: "server: resident memory", Value: harness.MiB(r.Base.RSS) + " / " + harness.MiB(r.End.RSS), Bound: "+ 10 % or " + harness.MiB(rssSlack), OK: r.End.RSS <= rssBound(r.Base)},
	}
	for _, p := range []struct {
		name          string
		before, after usage
	}{{"server", r.Base, r.End}, {"clients with faults", r.Ours, r.After}} {
		list = append(list, harness.Check{
			Name: p.name + ": goroutines, descriptors, at the baseline / at the end", Bound: "as before",
			Value: fmt.Sprintf("%d, %d / %d, %d", p.before.Goroutines, p.before.Descriptors, p.after.Goroutines, p.after.Descriptors),
			OK:    p.after.Goroutines <= p.before.Goroutines && p.after.Descriptors <= p.before.Descriptors,
		})
	}
	return list
}

func (l *load) String() string {
	return fmt.Sprintf("%d / %d, by %d connections", l.Sent, l.Received, l.Connections)
}

// problems returns the reports of failed runs of loadtest, and says if there was no load.
func (l *load) problems(atLeast uint64) []string {
	if len(l.Failed) == 0 && (l.Runs == 0 || l.Sent == 0 || l.Received < atLeast) {
		return []string{"too little load"}
	}
	return l.Failed
}

func (f *faults) problems() []string {
	if len(f.Wrong) == 0 && (f.Received == 0 || f.Heard == 0) {
		return []string{"nothing was received"}
	}
	return f.Wrong
}

// unbalanced returns the contradictions between the counters of the server and those of
// the clients.
func (r *result) unbalanced() (list []string) {
	report := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	accepted, closed, open := r.totals()
	if open != 0 || accepted != closed {
		report("%d accepted, %d closed, %d open", accepted, closed, open)
	}
	if made := r.Echo.Connections + r.Broadcast.Connections + r.Faults.Made; accepted < made {
		report("%d accepted, the clients had %d", accepted, made)
	}
	echo, broadcast := r.Stats["/echo"], r.Stats["/broadcast"]
	if read := r.Echo.Received + r.Faults.Received; echo.MessagesOut > echo.MessagesIn || echo.MessagesOut < read {
		report("/echo: %d messages in, %d out, the clients have read %d", echo.MessagesIn, echo.MessagesOut, read)
	}
	if read := r.Broadcast.Received + r.Faults.Heard; broadcast.MessagesIn != r.Broadcast.Sent || broadcast.MessagesOut < read {
		report("/broadcast: %d of %d messages in, %d out, the clients have read %d", broadcast.MessagesIn, r.Broadcast.Sent, broadcast.MessagesOut, read)
	}
	return list
}

// totals adds up the endpoints.
func (r *result) totals() (accepted, closed uint64, open int) {
	for _, s := range r.Stats {
		accepted += s.Accepted
		open += s.Connections
		for _, n := range s.Closed {
			closed += n
		}
	}
	return accepted, closed, open
}

func (r *result) ends() string {
	accepted, closed, open := r.totals()
	return fmt.Sprintf("%d / %d / %d", accepted, closed, open)
}

// refused counts refused handshakes. One that a fault cuts is not among them: net/http
// drops incomplete requests.
func (r *result) refused() (n uint64) {
	for _, s := range r.Stats {
		f := s.Refused
		n += f.NotWebSocket + f.Malformed + f.Origin + f.Limit + f.ShuttingDown + f.Rejected + f.Failed
	}
	return n
}

func (r *result) outcomes() string {
	brokenOff, codes := uint64(0), make(map[wsmanager.StatusCode]uint64)
	for _, s := range r.Stats {
		brokenOff += s.Refused.BrokenOff
		for code, n := range s.Closed {
			codes[code] += n
		}
	}
	text := fmt.Sprintf("%d; %d broken off", r.refused(), brokenOff)
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		text += fmt.Sprintf(", %d with %d", codes[code], code)
	}
	return text
}
