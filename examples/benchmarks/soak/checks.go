package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/speakingtube/speakingtube/examples/benchmarks/internal/harness"
	"github.com/speakingtube/speakingtube/wsmanager"
)

// The bounds of what the server may hold more than at the base line, when all clients
// are gone. Goroutines and descriptors come in whole pieces: none. What is live on the
// heap is exact but for what runtime and net/http keep for a while (a pool survives one
// collection): heapSlack, and a connection that left its Conn behind, some 500 bytes,
// would be over it within a thousand connections. Resident memory depends on how
// the heap's pages are used, which has no exact answer: a tenth, or rssSlack.
const (
	heapSlack = 256 << 10
	rssSlack  = 4 << 20
)

// above reports whether u is beyond what base allows.
func (u usage) above(base usage) bool {
	return u.Goroutines > base.Goroutines || u.Descriptors > base.Descriptors ||
		u.Heap > base.Heap+heapSlack || u.RSS > rssBound(base)
}

func rssBound(base usage) int64 { return max(base.RSS+base.RSS/10, base.RSS+rssSlack) }

// checks holds a result against the bounds.
func (r *result) checks() []harness.Check {
	mib := func(b int64) string { return fmt.Sprintf("%.1f", float64(b)/(1<<20)) }
	before, after := func(u usage) [2]int { return [2]int{u.Goroutines, u.Descriptors} }, r.End
	kib := func(b int64) string { return fmt.Sprintf("%d", b>>10) }
	base, ours, left := before(r.Base), before(r.Ours), before(r.After)
	f := r.Faults
	kindsSeen := []string{}
	for _, k := range kinds {
		kindsSeen = append(kindsSeen, fmt.Sprintf("%s %d", k.name, f.By[k.name]))
	}
	lost, ends := r.unbalanced(), r.ends()
	return []harness.Check{
		{What: "connections without faults: echoes sent / back", Got: r.Echo.String(), Bound: "each once, whole, in order", OK: r.Echo.ok(r.Echo.Sent)},
		{What: "connections without faults: broadcasts sent / received", Got: r.Broadcast.String(), Bound: "each once at each, whole, in order", OK: r.Broadcast.ok(r.Broadcast.Sent)},
		{What: "visits through a fault", Got: strings.Join(kindsSeen, ", "), Bound: "some of each", OK: len(f.By) == len(kinds)},
		{What: "of these connected / ended within the handshake", Got: fmt.Sprintf("%d / %d", f.Made, f.Refused), Bound: "some connected", OK: f.Made > 0},
		{What: "their echoes sent / back; broadcasts heard", Got: fmt.Sprintf("%d / %d; %d", f.Sent, f.Received, f.Heard), Bound: "the first ones, in order, nobody else's", OK: len(f.Wrong) == 0 && f.Received > 0 && f.Heard > 0},
		{What: "server: connections accepted / ended / there now", Got: ends, Bound: "all ended", OK: lost == ""},
		{What: "server: handshakes refused; connections by close code", Got: r.outcomes(), Bound: "none but by faults", OK: r.refused() == 0},
		{What: "server: errors printed", Got: fmt.Sprint(len(r.Printed)), Bound: "0", OK: len(r.Printed) == 0},
		{What: "server: goroutines at the base line / at last", Got: fmt.Sprintf("%d / %d", base[0], after.Goroutines), Bound: "as before", OK: after.Goroutines <= base[0]},
		{What: "server: descriptors at the base line / at last", Got: fmt.Sprintf("%d / %d", base[1], after.Descriptors), Bound: "as before", OK: after.Descriptors <= base[1]},
		{What: fmt.Sprintf("server: live heap, after %d connections since", r.Since), Got: fmt.Sprintf("%s / %s KiB", kib(r.Base.Heap), kib(after.Heap)), Bound: "+ " + kib(heapSlack) + " KiB", OK: after.Heap <= r.Base.Heap+heapSlack},
		{What: "server: resident memory", Got: fmt.Sprintf("%s / %s MiB", mib(r.Base.RSS), mib(after.RSS)), Bound: "+ 10 % or " + mib(rssSlack) + " MiB", OK: after.RSS <= rssBound(r.Base)},
		{What: "clients with faults: goroutines, descriptors before / after", Got: fmt.Sprintf("%d, %d / %d, %d", ours[0], ours[1], left[0], left[1]), Bound: "as before", OK: left[0] <= ours[0] && left[1] <= ours[1]},
	}
}

func (l *load) String() string {
	return fmt.Sprintf("%d / %d, by %d connections", l.Sent, l.Received, l.Connections)
}

// ok: loadtest was content each time, and had something to be content with.
func (l *load) ok(atLeast uint64) bool {
	return len(l.Failed) == 0 && l.Runs > 0 && l.Sent > 0 && l.Received >= atLeast
}

// unbalanced says which counters of the server's contradict each other, or what the
// clients counted.
func (r *result) unbalanced() string {
	var wrong []string
	accepted := uint64(0)
	for path, s := range r.Stats {
		ended := uint64(0)
		for _, n := range s.Closed {
			ended += n
		}
		if accepted += s.Accepted; s.Connections != 0 || s.Accepted != ended {
			wrong = append(wrong, fmt.Sprintf("%s: %d accepted, %d ended, %d there", path, s.Accepted, ended, s.Connections))
		}
	}
	if made := r.Echo.Connections + r.Broadcast.Connections + r.Faults.Made; accepted < made {
		wrong = append(wrong, fmt.Sprintf("%d accepted, clients had %d", accepted, made))
	}
	echo, broadcast := r.Stats["/echo"], r.Stats["/broadcast"]
	if read := r.Echo.Received + r.Faults.Received; echo.MessagesOut > echo.MessagesIn || echo.MessagesOut < read {
		wrong = append(wrong, fmt.Sprintf("/echo: %d messages in, %d out, clients read %d", echo.MessagesIn, echo.MessagesOut, read))
	}
	if read := r.Broadcast.Received + r.Faults.Heard; broadcast.MessagesIn != r.Broadcast.Sent || broadcast.MessagesOut < read {
		wrong = append(wrong, fmt.Sprintf("/broadcast: %d of %d messages in, %d out, clients read %d", broadcast.MessagesIn, r.Broadcast.Sent, broadcast.MessagesOut, read))
	}
	return strings.Join(wrong, "; ")
}

// ends sums the endpoints up.
func (r *result) ends() string {
	accepted, ended, there := uint64(0), uint64(0), 0
	for _, s := range r.Stats {
		accepted += s.Accepted
		there += s.Connections
		for _, n := range s.Closed {
			ended += n
		}
	}
	return fmt.Sprintf("%d / %d / %d", accepted, ended, there)
}

// refused counts handshakes that were refused for another reason than a fault: what
// arrives of one that was cut is no request, and net/http drops it.
func (r *result) refused() (n uint64) {
	for _, s := range r.Stats {
		f := s.Refused
		n += f.NotWebSocket + f.Malformed + f.Origin + f.Limit + f.ShuttingDown + f.Rejected + f.Failed
	}
	return n
}

// outcomes says how connections came about and how they ended.
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

// wrong is what there is to say beyond the table.
func (r *result) wrong() []string {
	list := append([]string(nil), r.Faults.Wrong...)
	list = append(list, r.Echo.Failed...)
	list = append(list, r.Broadcast.Failed...)
	list = append(list, r.Printed...)
	if u := r.unbalanced(); u != "" {
		list = append(list, u)
	}
	return list[:min(len(list), 50)]
}
