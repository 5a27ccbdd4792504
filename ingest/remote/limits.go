package remote

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	maxLanes     = 256             // limits that are kept apart
	longestPace  = 2 * time.Second // by which a request is held back to spread what is left
	longestReset = 24 * time.Hour  // that a limit may take to reset
	scarce       = 10              // per cent left below which requests are spread
)

// limits are what servers said of how many requests they take.
type limits struct {
	mu    sync.Mutex
	lanes map[string]*limit
}

// limit is one lane's: how many requests are left until it resets.
type limit struct {
	blocked time.Time // nothing is sent before
	reset   time.Time
	left    int64
	next    time.Time // when the next request goes, while few are left
}

func newLimits() *limits { return &limits{lanes: map[string]*limit{}} }

// lane is what a server counts together, as far as a URL tells: its APIs, or all the rest.
func lane(u *url.URL) string {
	parts := strings.SplitN(strings.TrimPrefix(u.Path, "/"), "/", 3)
	if len(parts) > 1 && parts[0] == "api" {
		return origin(u) + " " + parts[1]
	}
	return origin(u)
}

// saw takes note of an answer's limits.
func (l *limits) saw(lane string, now time.Time, status int, h http.Header) {
	left, reset, has := rateLimit(h.Get("RateLimit"))
	quota := parameter(h.Get("RateLimit-Policy"), "q")
	after := retryAfter(h.Get("Retry-After"), now)
	stop := status == http.StatusTooManyRequests || status >= 500
	if !has && !stop {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.lanes[lane]
	if m == nil {
		if len(l.lanes) >= maxLanes {
			clear(l.lanes)
		}
		m = &limit{}
		l.lanes[lane] = m
	}
	if stop {
		if after == 0 && status == http.StatusTooManyRequests {
			after = reset
		}
		if until := now.Add(after); after > 0 && until.After(m.blocked) {
			m.blocked = until
		}
	}
	if has {
		m.reset = time.Time{}
		if quota > 0 && left*100 < quota*scarce {
			m.left, m.reset = left, now.Add(reset)
		}
	}
}

// until is how long a lane is closed.
func (l *limits) until(lane string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.lanes[lane]; m != nil {
		return max(0, m.blocked.Sub(now))
	}
	return 0
}

// turn is how long the next request of a lane is held back.
func (l *limits) turn(lane string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.lanes[lane]
	if m == nil {
		return 0
	}
	wait := max(0, m.blocked.Sub(now))
	if left := m.reset.Sub(now); left > 0 {
		if m.next.Before(now) {
			m.next = now
		}
		wait = max(wait, min(m.next.Sub(now), longestPace))
		m.next = m.next.Add(min(left/time.Duration(max(1, m.left)), longestPace))
	}
	return wait
}

// pace waits until a server wants the next request. A lane that is closed for longer than
// patience lasts is asked all the same: its answer is the reason people are told.
func (c *Client) pace(ctx context.Context, at *url.URL) error {
	wait := c.limits.turn(lane(at), c.o.Now())
	if wait <= 0 || wait > c.patience.Waste {
		return nil
	}
	c.notice(Event{Name: show(at.String()), Wait: wait})
	return c.sleep(ctx, wait)
}

// rateLimit reads `"resolvers";r=0;t=55`.
func rateLimit(s string) (left int64, reset time.Duration, ok bool) {
	if s == "" {
		return 0, 0, false
	}
	left, secs := parameter(s, "r"), parameter(s, "t")
	if left < 0 || secs < 0 {
		return 0, 0, false
	}
	return left, min(time.Duration(min(secs, int64(longestReset/time.Second)))*time.Second, longestReset), true
}

// parameter is the number that NAME=NUMBER gives, -1 when none does.
func parameter(s, name string) int64 {
	for part := range strings.SplitSeq(s, ";") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(part), name+"="); ok {
			if n, err := strconv.ParseInt(v, 10, 64); err == nil && n >= 0 && n < 1<<40 {
				return n
			}
		}
	}
	return -1
}

// retryAfter reads seconds or a date.
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64); err == nil {
		return min(time.Duration(max(0, min(n, int64(longestReset/time.Second))))*time.Second, longestReset)
	}
	if t, err := http.ParseTime(s); err == nil {
		return min(max(0, t.Sub(now)), longestReset)
	}
	return 0
}
