package remote

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"
)

// judge says whether an answer holds the range, and how many of its bytes it has. whole
// says that the body goes on after them.
func (f *File) judge(rep *reply, off, n int64) (have int64, whole bool, err error) {
	asked := fmt.Sprintf("bytes %d to %d", off, off+n-1)
	size := f.Size()
	switch rep.StatusCode {
	case http.StatusOK, http.StatusPartialContent:
		if err := rep.plain(); err != nil {
			return 0, false, err
		}
	case http.StatusRequestedRangeNotSatisfiable:
		if _, _, total, ok := contentRange(rep.Header.Get("Content-Range")); ok && total == 0 && off == 0 && size <= 0 {
			return 0, true, f.sized(0)
		}
		return 0, false, failed(changed, "%w: it does not reach to %s any more (%s)", ErrChanged, asked, quote(rep.Header.Get("Content-Range")))
	case http.StatusPreconditionFailed:
		return 0, false, failed(changed, "%w since its first bytes were read (%d)", ErrChanged, rep.StatusCode)
	default:
		return 0, false, rep.status()
	}
	if rep.StatusCode == http.StatusOK {
		return f.judgeWhole(rep, off, n, size)
	}
	first, last, total, ok := contentRange(rep.Header.Get("Content-Range"))
	if !ok {
		return 0, false, failed(unsound, "%s were asked for, the answer does not say which it has (Content-Type %s, Content-Range %s)", asked,
			quote(rep.Header.Get("Content-Type")), quote(rep.Header.Get("Content-Range")))
	}
	end := off + n - 1
	if total >= 0 {
		end = min(end, total-1)
	}
	if first != off || last != end {
		return 0, false, failed(unsound, "%s were asked for, bytes %d to %d are answered", asked, first, last)
	}
	if total < 0 && size < 0 {
		return 0, false, failed(unsound, "the answer does not say how large the file is (Content-Range %s)", quote(rep.Header.Get("Content-Range")))
	}
	have = last - first + 1
	if rep.ContentLength >= 0 && rep.ContentLength != have {
		return 0, false, failed(unsound, "bytes %d to %d are answered, in a body of %d", first, last, rep.ContentLength)
	}
	if total >= 0 {
		err = f.sized(total)
	}
	return have, false, err
}

// judgeWhole takes the beginning of an answer that is the whole file, where that was asked for.
func (f *File) judgeWhole(rep *reply, off, n, size int64) (int64, bool, error) {
	total := rep.ContentLength
	if size >= 0 && total != size && page.MatchString(rep.Header.Get("Content-Type")) {
		return 0, false, failed(login, "a web page instead of the file, a proxy's or a login's")
	}
	if off > 0 {
		return 0, false, failed(unsound, "the server ignores ranges: bytes %d to %d were asked for, the whole file is answered", off, off+n-1)
	}
	switch {
	case total < 0 && size >= 0: // its end is told by the size that is known
		return min(n, size), n < size, nil
	case total < 0:
		return 0, false, failed(unsound, "the answer does not say how large the file is")
	}
	if err := f.sized(total); err != nil {
		return 0, false, err
	}
	return min(n, total), n < total, nil
}

// page is how an answer says of itself that it is for people.
var page = regexp.MustCompile(`(?i)^text/html\b`)

var rangeForm = regexp.MustCompile(`^bytes (?:([0-9]{1,18})-([0-9]{1,18})|\*)/([0-9]{1,18}|\*)$`)

// contentRange reads a Content-Range; total is -1 when it is not told.
func contentRange(s string) (first, last, total int64, ok bool) {
	m := rangeForm.FindStringSubmatch(s)
	if m == nil {
		return 0, 0, 0, false
	}
	number := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return -1
		}
		return n
	}
	first, last, total = number(m[1]), number(m[2]), number(m[3])
	if m[1] == "" {
		return first, last, total, total >= 0
	}
	return first, last, total, first <= last && (total < 0 || last < total)
}

// defaultHold is how long a redirect is remembered that does not say how long it holds.
const defaultHold = 10 * time.Minute

// expiries are how signed URLs say until when they hold: a time, or a beginning and seconds.
var expiries = []struct{ at, from, secs string }{
	{at: "Expires"},
	{from: "X-Amz-Date", secs: "X-Amz-Expires"},
	{from: "X-Goog-Date", secs: "X-Goog-Expires"},
	{at: "se"},
}

// holds is when a redirect is asked for again: after four fifths of its time.
func holds(u *url.URL, now time.Time) time.Time {
	q := u.Query()
	for _, e := range expiries {
		var end time.Time
		if secs, err := strconv.ParseInt(q.Get(e.at+e.secs), 10, 64); err == nil && secs >= 0 && secs < math.MaxInt32*8 {
			if end = time.Unix(secs, 0); e.from != "" {
				from, err := time.Parse("20060102T150405Z", q.Get(e.from))
				if err != nil {
					continue
				}
				end = from.Add(time.Duration(secs) * time.Second)
			}
		} else if end, err = time.Parse(time.RFC3339, q.Get(e.at)); err != nil {
			continue
		}
		return now.Add(end.Sub(now) / 5 * 4)
	}
	return now.Add(defaultHold)
}
