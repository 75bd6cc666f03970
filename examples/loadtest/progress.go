package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// progressEvery is the interval at which the line is rewritten.
const progressEvery = 200 * time.Millisecond

// showProgress shows a progress line if w is a terminal. end removes it.
func (l *load) showProgress(w io.Writer) (end func()) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}
	}
	width := func() int {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
		return 80
	}
	return l.rewrite(w, width)
}

func (l *load) rewrite(w io.Writer, width func() int) (end func()) {
	done := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		began := time.Now()
		var p progress
		for {
			select {
			case <-tick.C:
				fmt.Fprintf(w, "\r\x1b[K%s", truncate(p.line(l, time.Since(began)), width()-1))
			case <-done:
				fmt.Fprint(w, "\r\x1b[K")
				return
			}
		}
	})
	return func() {
		close(done)
		writing.Wait()
	}
}

// progress is the state at the last line.
type progress struct {
	received uint64
	at       time.Duration
	rate     float64
}

// line returns the progress line.
func (p *progress) line(l *load, elapsed time.Duration) string {
	problems := ""
	if n := l.problems(); n > 0 {
		problems = fmt.Sprintf("   %s", plural(n, "problem"))
	}
	switch l.phase.Load() {
	case phaseConnecting:
		made := l.alive()
		return fmt.Sprintf("%s  connecting   %s of %s%s", gauge(float64(made)/float64(l.cfg.connections)),
			number(made), number(l.cfg.connections), problems)
	case phaseClosing:
		return fmt.Sprintf("%s  closing   %s left", gauge(1), plural(l.alive(), "connection"))
	}
	received := uint64(0)
	for _, m := range l.members {
		received += m.received.Load()
	}
	if elapsed > p.at {
		p.rate = float64(received-p.received) / (elapsed - p.at).Seconds()
	}
	p.received, p.at = received, elapsed
	c := l.latencies()
	figures := fmt.Sprintf("%s received, %s a second   p50 %s   p99 %s   max %s%s", number(received), perSecond(p.rate),
		short(c.quantile(0.5)), short(c.quantile(0.99)), short(c.longest), problems)
	if l.phase.Load() == phaseWaiting {
		return fmt.Sprintf("%s  waiting for messages in flight   %s", gauge(1), figures)
	}
	now := min(l.now(), l.cfg.duration)
	return fmt.Sprintf("%s  %d of %s   %s", gauge(float64(now)/float64(l.cfg.duration)), int(now.Seconds()), short(l.cfg.duration), figures)
}

// problems counts the errors and violations that are known before the end.
func (l *load) problems() int {
	return l.errors.count() + int(l.duplicated.Load()+l.reordered.Load()+l.corrupted.Load()+l.foreign.Load())
}

// gauge returns a bar in a frame.
func gauge(part float64) string {
	const width = 16
	s := bar(min(part, 1), width)
	return "▕" + s + spaces[:width-utf8.RuneCountInString(s)] + "▏"
}

const spaces = "                "

// truncate shortens a line to a number of characters, so that the terminal does not wrap it.
func truncate(s string, width int) string {
	for i := range s {
		if width == 0 {
			return s[:i]
		}
		width--
	}
	return s
}
