package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// text writes the summary as text.
func (r *report) text(w io.Writer) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-14s%s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "%s\n%s\n\n", r.Settings.URL, r.Settings.describe())
	if r.Interrupted {
		line("Interrupted", "the figures are those until then")
	}
	line("Connections", "%s of %s in %s", number(r.Connections.Made), number(r.Settings.Connections), seconds(r.Connections.Seconds))
	if q := r.Connections.ConnectNs; q != nil {
		line("", "%s", q)
	}
	m := r.Messages
	line("Sent", "%s messages in %s, %s a second", number(m.Sent), seconds(m.Seconds), perSecond(m.SentPerSecond))
	line("Received", "%s messages, %s a second", number(m.Received), perSecond(m.ReceivedPerSecond))
	line("On the wire", "%s", r.Wire.describe(r.Settings.Compress))
	if r.Busy > 0 {
		line("This program", "kept %.2f of %d processors busy", r.Busy, r.Processors)
	}
	if q := r.LatencyNs; q != nil {
		line("Latency", "%s", q)
		switch late := r.LatenessNs; {
		case late != nil:
			line("", "counted from the time when a message was due; this program was late by %s", late.late())
		case r.Settings.Rate > 0:
			line("", "counted from the time when a message was due")
		default:
			line("", "counted from the sending; a sender waits for answers, so a stall counts once (with -rate in full)")
		}
		b.WriteString("\n")
		r.chart(&b)
	}
	b.WriteString("\n")
	r.verdict(line)
	_, err := io.WriteString(w, b.String())
	return err
}

// describe returns the settings as a sentence.
func (s *setting) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s", s.Mode, plural(s.Connections, "connection"))
	if s.Mode == modeBroadcast || s.Senders != s.Connections {
		fmt.Fprintf(&b, ", of which %d %s", s.Senders, map[bool]string{true: "sends", false: "send"}[s.Senders == 1])
	}
	fmt.Fprintf(&b, ", %s messages of %s bytes", s.Payload, number(s.Size))
	if s.Compress {
		b.WriteString(", compression offered")
	}
	if s.Rate > 0 {
		fmt.Fprintf(&b, ", %s messages a second in all", perSecond(s.Rate))
	} else {
		fmt.Fprintf(&b, ", %d of each sender in flight", s.InFlight)
	}
	fmt.Fprintf(&b, ", for %s", short(time.Duration(s.DurationNs)))
	return b.String()
}

func (w *wireReport) describe(offered bool) string {
	s := size(w.BytesOut) + " out, " + size(w.BytesIn) + " in"
	switch {
	case !offered:
	case w.Compressing == 0:
		s += "; the server does not compress"
	default:
		s += fmt.Sprintf("; %s messages out and %s in were compressed", number(w.CompressedOut), number(w.CompressedIn))
	}
	return s
}

// verdict writes the result and its reasons.
func (r *report) verdict(line func(name, format string, args ...any)) {
	v := r.Violations
	var wrong []string
	for _, c := range []struct {
		n    uint64
		what string
	}{
		{v.Lost, "lost"}, {v.Duplicated, "duplicated"}, {v.Reordered, "out of order"}, {v.Corrupted, "corrupted"},
		{v.Foreign, "foreign"}, {r.Messages.CutOff, "cut off with their connections"},
	} {
		if c.n > 0 {
			wrong = append(wrong, number(c.n)+" "+c.what)
		}
	}
	switch {
	case len(wrong) > 0:
		line("Messages", "%s", strings.Join(wrong, ", "))
		if r.Messages.StillComing && v.Lost > 0 {
			line("", "some still arrived at the end of the wait: they may be slow, not lost (see -timeout)")
		}
	case r.Messages.Received > 0:
		line("Messages", "each arrived once, unchanged and in order")
	default:
		line("Messages", "none were sent")
	}
	if n := r.Messages.Unsent; n > 0 {
		line("Unsent", "%s due messages: the limit of -in-flight was reached", number(n))
	}
	name := "Errors"
	for _, e := range r.Errors {
		line(name, "%s × %s", number(e.Count), e.Kind)
		name = ""
	}
	if len(r.Errors) == 0 {
		line(name, "none")
	}
	if r.OK {
		line("Result", "OK")
	} else {
		line("Result", "FAILED")
	}
}

// chart writes the histogram as bars.
func (r *report) chart(b *strings.Builder) {
	most, total := uint64(1), uint64(0)
	for _, row := range r.Histogram {
		most = max(most, row.Count)
		total += row.Count
	}
	for _, row := range r.Histogram {
		fmt.Fprintf(b, "%12s  %-40s %11s %6.2f %%\n", "≤ "+short(row.UpToNs), bar(float64(row.Count)/float64(most), 40),
			number(row.Count), 100*float64(row.Count)/float64(total))
	}
}

// bar returns a bar with a resolution of an eighth of a character. A part above 0 is at
// least one eighth.
func bar(part float64, width int) string {
	eighths := int(part*float64(8*width) + 0.5)
	if eighths == 0 && part > 0 {
		eighths = 1
	}
	s := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		s += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return s
}

// String formats all quantiles.
func (q *quantiles) String() string {
	return fmt.Sprintf("p50 %s   p90 %s   p99 %s   p99.9 %s   max %s", short(q.P50), short(q.P90), short(q.P99), short(q.P999), short(q.Max))
}

// late formats the lateness of sending.
func (q *quantiles) late() string {
	return fmt.Sprintf("p50 %s, p99 %s, max %s", short(q.P50), short(q.P99), short(q.Max))
}

// short formats a duration with three significant digits.
func short(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "µs"}} {
		// A value that rounds up to 1,000 of a unit is formatted in the next one.
		if d >= u.unit-u.unit/2000 {
			return digits(float64(d)/float64(u.unit)) + " " + u.name
		}
	}
	return strconv.Itoa(int(d)) + " ns"
}

func seconds(s float64) string { return short(time.Duration(s * float64(time.Second))) }

// digits formats a number with three significant digits, or all digits before the point,
// without trailing zeros.
func digits(f float64) string {
	switch {
	case f >= 99.95:
		return number(uint64(f + 0.5))
	case f >= 9.995:
		return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 1, 64), ".0")
	}
	return strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(f, 'f', 2, 64), "0"), ".")
}

// perSecond formats a rate.
func perSecond(f float64) string { return digits(f) }

// size formats a number of bytes in powers of 1,000.
func size(n uint64) string {
	for _, u := range []struct {
		unit uint64
		name string
	}{{1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if n >= u.unit {
			return digits(float64(n)/float64(u.unit)) + " " + u.name
		}
	}
	return plural(int(n), "byte")
}

// number formats 15000 as 15,000.
func number[T int | uint64](n T) string {
	s := strconv.FormatUint(uint64(n), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return number(n) + " " + what + "s"
}
