package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/term"
)

const (
	meterEvery   = 100 * time.Millisecond // between two drawings
	meterWidth   = 80                     // columns of a terminal that does not say
	eraseToRight = "\x1b[K"
)

// meter shows bytes, rate and time left on stderr, on a terminal only: one line,
// drawn over itself and gone at the end. What was done is then said by others.
type meter struct {
	terminal    *os.File
	name        string
	line        func(elapsed time.Duration, width int) string
	start       time.Time
	done, total atomic.Int64
	quit, ended chan struct{}
}

// meter starts showing progress of what over total bytes; stop must be called.
func (a *app) meter(what string, total int64) *meter {
	m := newMeter(escape(what))
	m.total.Store(total)
	if total > 0 {
		a.show(m)
	}
	return m
}

func newMeter(name string) *meter {
	m := &meter{name: name, start: time.Now()}
	m.line = func(elapsed time.Duration, width int) string {
		return meterLine(m.name, m.done.Load(), m.total.Load(), elapsed, width)
	}
	return m
}

// show starts drawing, on a terminal.
func (a *app) show(m *meter) {
	if a.quiet || !isTerminal(a.err) || os.Getenv("TERM") == "dumb" {
		return
	}
	m.terminal = a.err.(*os.File)
	m.quit, m.ended = make(chan struct{}), make(chan struct{})
	go m.show()
}

func (m *meter) show() {
	defer close(m.ended)
	tick := time.NewTicker(meterEvery)
	defer tick.Stop()
	for {
		m.draw(time.Since(m.start))
		select {
		case <-m.quit:
			io.WriteString(m.terminal, "\r"+eraseToRight)
			return
		case <-tick.C:
		}
	}
}

// draw writes the line as wide as the terminal is by now, without the last column,
// from which some go on to the next line.
func (m *meter) draw(elapsed time.Duration) {
	width, _, err := term.GetSize(int(m.terminal.Fd()))
	if err != nil || width <= 0 {
		width = meterWidth
	}
	io.WriteString(m.terminal, "\r"+m.line(elapsed, width-1)+eraseToRight)
}

// add counts n more bytes; safe from any goroutine.
func (m *meter) add(n int64) { m.done.Add(n) }

// set counts done bytes of total in all.
func (m *meter) set(done, total int64) {
	m.done.Store(done)
	m.total.Store(total)
}

// stop takes the line away, before anything else is said.
func (m *meter) stop() {
	if m.terminal != nil {
		close(m.quit)
		<-m.ended
	}
}

// meterLine is a name and as much of what is said about its bytes as width columns
// hold; a name that is too long loses its beginning.
func meterLine(name string, done, total int64, elapsed time.Duration, width int) string {
	done = min(done, total)
	parts := []string{fmt.Sprintf("%3.0f%%", 100*float64(done)/float64(max(total, 1))), size(done) + " of " + size(total)}
	if rate := float64(done) / elapsed.Seconds(); done > 0 && elapsed >= time.Second {
		parts = append(parts, size(int64(rate))+"/s", left(float64(total-done)/rate)+" left")
	}
	return meterText(name, parts, width)
}

// meterText is a name and as many of the parts as width columns hold.
func meterText(name string, parts []string, width int) string {
	for ; len(parts) > 0; parts = parts[:len(parts)-1] {
		said := "  " + strings.Join(parts, "  ")
		room := width - columnsOf(said)
		if room >= min(columnsOf(name), width/3) && room > 0 {
			return tail(name, room) + said
		}
	}
	return tail(name, width)
}

// left rounds seconds to come, in two units at most.
func left(seconds float64) string {
	d := time.Duration(min(seconds, 3.6e6) * float64(time.Second))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int((d+time.Second-1)/time.Second))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d/time.Minute), int(d%time.Minute/time.Second))
	case d < 1000*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d/time.Hour), int(d%time.Hour/time.Minute))
	}
	return "weeks"
}
