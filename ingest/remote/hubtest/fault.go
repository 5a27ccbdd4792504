package hubtest

import (
	"fmt"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is what goes wrong, and with which requests.
type Fault struct {
	Kind   string  // one of Kinds
	Path   string  `fault:"path"`   // a glob of the file in its repository
	Port   string  `fault:"port"`   // hub, cdn or evil
	On     string  `fault:"kind"`   // api, resolve, cdn or upload
	Method string  `fault:"method"` // GET, POST, PUT
	Skip   int     `fault:"skip"`   // leave the first of them alone
	First  int     `fault:"first"`  // strike so many, then none; 0: all
	Every  int     `fault:"every"`  // strike each so manieth
	Bytes  int     `fault:"bytes"`  // that come before it breaks; 0: half
	By     int     `fault:"by"`     // how far off; 0: 1
	Secs   float64 `fault:"secs"`   // to wait; of slow: between bytes
}

// Kinds says what each kind of fault does.
var Kinds = map[string]string{
	"drop":           "the connection is closed before any answer",
	"reset":          "a part comes, then a TCP reset",
	"short":          "the whole length is announced, a part comes",
	"stall":          "a part comes, then silence",
	"hang":           "silence instead of an answer",
	"slow":           "a byte at a time",
	"s403":           "403 without a reason",
	"s404":           "404 without a reason",
	"s408":           "408, with a web page",
	"s429":           "429, with Retry-After and RateLimit",
	"s429date":       "429, with a date",
	"s500":           "500, with a web page",
	"s502":           "502, with a web page",
	"s503":           "503, with a web page",
	"s504":           "504, with a web page",
	"expired":        "403 from the CDN: the signed URL is past its time",
	"full200":        "the range is ignored: 200 and everything",
	"wrong-range":    "206 for the range some bytes on, and it says so",
	"lying-range":    "206 with the bytes some bytes on, said to be those asked for",
	"wrong-total":    "the total in Content-Range is off",
	"multipart":      "206 as multipart/byteranges",
	"gzip":           "everything, gzipped",
	"gzip206":        "206 whose body is the range, gzipped",
	"chunked":        "no Content-Length, which HTTP allows",
	"size":           "the listing's, or the redirect's, size is off",
	"changed":        "other bytes and another ETag",
	"changed-silent": "other bytes under the same ETag",
	"s416":           "416: the range is past the end",
	"offhost":        "a redirect to the stranger, who has the right bytes",
	"offhost-bad":    "a redirect to the stranger, who has others",
	"loop":           "a redirect to itself",
	"nowhere":        "a redirect that does not say where to",
	"tofile":         "a redirect to file:///",
	"html":           "200 and a web page",
	"badjson":        "JSON that ends half-way",
	"pageloop":       "the link to the next page leads to the same",
	"huge":           "200,000 more entries",
	"hostile-names":  "names that leave the folder, or hide",
	"truncated":      "the listing in one request ends after 1,000 entries, or half-way",
	"pointer":        "the LFS pointer instead of the file",
	"noetag":         "no ETag",
	"nocommit":       "no X-Repo-Commit",
	"lost":           "what is sent is answered 200 and not kept",
	"lostanswer":     "a commit is made, and its answer is lost",
}

// Parse reads KIND[:KEY=VALUE,…].
func Parse(spec string) (Fault, error) {
	kind, rest, _ := strings.Cut(spec, ":")
	f := Fault{Kind: kind}
	if Kinds[kind] == "" {
		return f, fmt.Errorf("fault %q: there is no such kind", spec)
	}
	v := reflect.ValueOf(&f).Elem()
	for pair := range strings.SplitSeq(rest, ",") {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		i := slices.IndexFunc(reflect.VisibleFields(v.Type()), func(s reflect.StructField) bool { return s.Tag.Get("fault") == key })
		if i < 0 {
			return f, fmt.Errorf("fault %q: there is no %q", spec, key)
		}
		var err error
		switch to := v.Field(i); to.Kind() {
		case reflect.String:
			to.SetString(value)
		case reflect.Int:
			var n int64
			n, err = strconv.ParseInt(value, 10, 64)
			to.SetInt(n)
		default:
			var x float64
			x, err = strconv.ParseFloat(value, 64)
			to.SetFloat(x)
		}
		if err != nil {
			return f, fmt.Errorf("fault %q: %q is not a number", spec, value)
		}
	}
	return f, nil
}

// struck is a fault and how often it met a request.
type struck struct {
	Fault
	seen int
}

// meets reports whether the fault strikes a request that it fits.
func (f *struck) meets(port, on, method, file string) bool {
	for _, c := range []struct{ want, is string }{{f.Port, port}, {f.On, on}, {f.Method, method}} {
		if c.want != "" && c.want != c.is {
			return false
		}
	}
	if f.Path != "" {
		if ok, _ := path.Match(f.Path, file); !ok {
			return false
		}
	}
	f.seen++
	n := f.seen - f.Skip
	return n > 0 && (f.First == 0 || n <= f.First) && (f.Every == 0 || n%f.Every == 0)
}

// is reports whether the fault is one of kinds; there may be none.
func (f *Fault) is(kinds ...string) bool { return f != nil && slices.Contains(kinds, f.Kind) }

func (f *Fault) by() int64 {
	if f == nil || f.By == 0 {
		return 1
	}
	return int64(f.By)
}

func (f *Fault) wait(otherwise time.Duration) time.Duration {
	if f.Secs == 0 {
		return otherwise
	}
	return time.Duration(f.Secs * float64(time.Second))
}
