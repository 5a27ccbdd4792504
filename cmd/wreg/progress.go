package main

import (
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
)

// meter shows bytes, rate and time left on stderr, on a terminal only.
type meter struct {
	writer  progress.Writer
	tracker *progress.Tracker
}

// meter starts showing progress of what over total bytes; stop must be called.
func (a *app) meter(what string, total int64) *meter {
	if a.quiet || !isTerminal(a.err) || total <= 0 {
		return &meter{}
	}
	m := &meter{writer: progress.NewWriter(), tracker: &progress.Tracker{
		Message: what, Total: total, Units: progress.UnitsBytes,
		AutoStopDisabled: true, // all bytes are through, fsync may not be
	}}
	m.writer.SetOutputWriter(a.err)
	m.writer.SetUpdateFrequency(100 * time.Millisecond)
	m.writer.SetTrackerLength(24)
	m.writer.Style().Visibility.ETA = true
	m.writer.Style().Visibility.Speed = true
	m.writer.Style().Options.SpeedPosition = progress.PositionRight
	m.writer.AppendTracker(m.tracker)
	go m.writer.Render()
	return m
}

// add counts n more bytes; safe from any goroutine.
func (m *meter) add(n int64) {
	if m.tracker != nil {
		m.tracker.Increment(n)
	}
}

// set counts done bytes of total in all.
func (m *meter) set(done, total int64) {
	if m.tracker != nil {
		m.tracker.UpdateTotal(total)
		m.tracker.SetValue(done)
	}
}

// stop ends the meter before anything else is said. It says done only when err is
// nil.
func (m *meter) stop(err error) {
	if m.writer == nil {
		return
	}
	if err != nil {
		m.tracker.MarkAsErrored()
	} else {
		m.tracker.MarkAsDone()
	}
	m.writer.Stop()
	for m.writer.IsRenderInProgress() {
		time.Sleep(time.Millisecond)
	}
}
