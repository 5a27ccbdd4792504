package hubtest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// exchange is one request and its answer.
type exchange struct {
	h     *Hub
	port  string
	w     http.ResponseWriter
	r     *http.Request
	fault *Fault
	entry Entry
}

func (h *Hub) handler(port string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{h: h, port: port, w: w, r: r}
		x.entry = Entry{Port: port, Method: r.Method, URL: r.URL.RequestURI(), Range: r.Header.Get("Range"), Token: r.Header.Get("Authorization") != ""}
		on, file := "api", ""
		switch _, rest, ok := strings.Cut(r.URL.Path, "/resolve/"); {
		case port != "hub":
			if on, file = "cdn", r.URL.Query().Get("f"); r.Method == http.MethodPut {
				on = "upload"
			}
		case ok:
			_, file, _ = strings.Cut(rest, "/")
			on = "resolve"
		case strings.HasPrefix(r.URL.Path, "/api/resolve-cache/"):
			on, file = "resolve", path.Base(r.URL.Path)
		}
		h.mu.Lock()
		for _, f := range h.faults {
			if f.meets(port, on, r.Method, file) {
				x.fault, x.entry.Fault = &f.Fault, f.Kind
				break
			}
		}
		if x.entry.Token && port != "hub" {
			h.leaks++
		}
		h.log = append(h.log, x.entry)
		at := len(h.log) - 1
		h.mu.Unlock()
		defer func() {
			h.mu.Lock()
			if at < len(h.log) {
				h.log[at] = x.entry
			}
			h.mu.Unlock()
		}()
		if h.o.Latency > 0 {
			x.pause(h.o.Latency)
		}
		switch {
		case x.early():
		case port == "hub":
			x.hub()
		case r.Method == http.MethodPut:
			x.upload()
		default:
			x.cdn()
		}
	})
}

// pause waits, but no longer than the other side does.
func (x *exchange) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-x.r.Context().Done():
	case <-x.h.ended:
	}
}

var refusals = regexp.MustCompile(`^s([45][0-9][0-9])(date)?$`)

// early answers faults that come in place of the answer.
func (x *exchange) early() bool {
	f := x.fault
	if f == nil {
		return false
	}
	switch m := refusals.FindStringSubmatch(f.Kind); {
	case f.Kind == "drop":
		panic(http.ErrAbortHandler)
	case f.Kind == "hang":
		x.pause(f.wait(time.Hour))
		panic(http.ErrAbortHandler)
	case m != nil:
		status, _ := strconv.Atoi(m[1])
		head := http.Header{}
		secs := int(f.wait(time.Second) / time.Second)
		if status == http.StatusTooManyRequests {
			head.Set("RateLimit", fmt.Sprintf(`"api";r=0;t=%d`, secs))
			head.Set("RateLimit-Policy", `"fixed window";"api";q=3000;w=300`)
		}
		switch {
		case m[2] != "":
			head.Set("Retry-After", time.Now().Add(f.wait(time.Second)).UTC().Format(http.TimeFormat))
		case status == http.StatusTooManyRequests || f.Secs > 0:
			head.Set("Retry-After", strconv.Itoa(secs))
		}
		x.answer(status, head, "text/html", []byte("<html><body><h1>"+m[1]+"</h1></body></html>"))
	case f.Kind == "html":
		x.answer(200, nil, "text/html", []byte("<!doctype html><html><title>Welcome to our Wi-Fi</title></html>"))
	case f.Kind == "loop":
		x.answer(302, http.Header{"Location": {x.r.URL.RequestURI()}}, "text/plain", nil)
	case f.Kind == "nowhere":
		x.answer(302, nil, "text/plain", nil)
	case f.Kind == "tofile":
		x.answer(302, http.Header{"Location": {"file:///etc/passwd"}}, "text/plain", nil)
	case f.Kind == "expired" && x.port == "cdn":
		x.xml(403, "AccessDenied", "Request has expired")
	default:
		return false
	}
	return true
}

func (x *exchange) xml(status int, code, text string) {
	x.answer(status, nil, "application/xml", fmt.Appendf(nil, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, text))
}

func (x *exchange) refuse(status int, code, text string) {
	head := http.Header{"X-Error-Message": {text}}
	if code != "" {
		head.Set("X-Error-Code", code)
	}
	data, _ := json.Marshal(map[string]string{"error": text})
	x.answer(status, head, "application/json", data)
}

func (x *exchange) json(head http.Header, v any) {
	data, _ := json.Marshal(v)
	if x.fault.is("badjson") {
		data = data[:len(data)*2/3]
	}
	x.answer(200, head, "application/json; charset=utf-8", data)
}

func (x *exchange) answer(status int, head http.Header, kind string, data []byte) {
	if x.fault.is("gzip", "gzip206") {
		data = pack(data)
		x.w.Header().Set("Content-Encoding", "gzip")
	}
	x.w.Header().Set("Content-Type", kind)
	x.stream(status, head, bytes.NewReader(data), 0, int64(len(data)))
}

func pack(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(data)
	w.Close()
	return b.Bytes()
}

// stream sends n bytes of r from off, as the fault has them arrive.
func (x *exchange) stream(status int, head http.Header, r io.ReaderAt, off, n int64) {
	out := x.w.Header()
	for k, v := range head {
		out[http.CanonicalHeaderKey(k)] = v
	}
	if x.port == "hub" && out.Get("RateLimit") == "" {
		out.Set("RateLimit", `"api";r=2999;t=180`)
		out.Set("RateLimit-Policy", `"fixed window";"api";q=3000;w=300`)
	}
	for kind, names := range map[string][]string{"noetag": {"ETag", "X-Linked-ETag"}, "nocommit": {"X-Repo-Commit"}} {
		for _, k := range names {
			if x.fault.is(kind) {
				out.Del(k)
			}
		}
	}
	x.entry.Status = status
	if x.fault.is("chunked") {
		out.Del("Content-Length")
	} else {
		out.Set("Content-Length", strconv.FormatInt(n, 10))
	}
	x.w.WriteHeader(status)
	if x.r.Method == http.MethodHead {
		return
	}
	flush := http.NewResponseController(x.w).Flush
	if x.fault.is("chunked") {
		flush()
	}
	stop := n
	if x.fault.is("short", "reset", "stall") {
		if stop = n / 2; x.fault.Bytes > 0 {
			stop = min(n, int64(x.fault.Bytes))
		}
	}
	if x.fault.is("slow") {
		for ; x.entry.Bytes < n && x.r.Context().Err() == nil; x.entry.Bytes++ {
			io.Copy(x.w, io.NewSectionReader(r, off+x.entry.Bytes, 1))
			flush()
			x.pause(x.fault.wait(200 * time.Millisecond))
		}
		return
	}
	x.entry.Bytes, _ = io.Copy(x.w, io.NewSectionReader(r, off, stop))
	if stop == n {
		return
	}
	flush()
	switch x.fault.Kind {
	case "stall":
		x.pause(x.fault.wait(time.Hour))
	case "reset":
		if conn, _, err := http.NewResponseController(x.w).Hijack(); err == nil {
			if tcp, ok := conn.(*net.TCPConn); ok {
				tcp.SetLinger(0)
			}
			conn.Close()
			return
		}
	}
	panic(http.ErrAbortHandler)
}

var oneRange = regexp.MustCompile(`^bytes=([0-9]+)-([0-9]*)$`)

// content sends a file, or the range of it that was asked for.
func (x *exchange) content(r io.ReaderAt, size int64, head http.Header) {
	etag := head.Get("ETag")
	if m := x.r.Header.Get("If-Match"); m != "" && etag != "" && m != etag {
		x.answer(412, http.Header{"ETag": {etag}}, "text/plain", nil)
		return
	}
	x.w.Header().Set("Content-Type", "application/octet-stream")
	m := oneRange.FindStringSubmatch(x.r.Header.Get("Range"))
	if m == nil || x.fault.is("full200", "gzip") {
		if x.fault.is("gzip") {
			data, _ := io.ReadAll(io.NewSectionReader(r, 0, size))
			data = pack(data)
			x.w.Header().Set("Content-Encoding", "gzip")
			r, size = bytes.NewReader(data), int64(len(data))
		}
		x.stream(200, head, r, 0, size)
		return
	}
	first, _ := strconv.ParseInt(m[1], 10, 64)
	last := size - 1
	if n, err := strconv.ParseInt(m[2], 10, 64); err == nil {
		last = min(n, last)
	}
	if first > last {
		x.answer(416, http.Header{"Content-Range": {fmt.Sprintf("bytes */%d", size)}}, "text/plain", nil)
		return
	}
	n, at, said, total := last-first+1, first, first, size
	if x.fault.is("wrong-range", "lying-range") {
		if at = first + x.fault.by(); at+n > size {
			at = max(0, first-x.fault.by())
		}
		if x.fault.is("wrong-range") {
			said = at
		}
	}
	if x.fault.is("wrong-total") {
		total += x.fault.by()
	}
	head.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", said, said+n-1, total))
	switch {
	case x.fault.is("gzip206"):
		data, _ := io.ReadAll(io.NewSectionReader(r, first, n))
		data = pack(data)
		x.w.Header().Set("Content-Encoding", "gzip")
		r, at, n = bytes.NewReader(data), 0, int64(len(data))
	case x.fault.is("multipart"):
		data, _ := io.ReadAll(io.NewSectionReader(r, first, n))
		part := fmt.Appendf(nil, "--B\r\nContent-Range: %s\r\n\r\n%s\r\n--B--\r\n", head.Get("Content-Range"), data)
		head.Del("Content-Range")
		x.w.Header().Set("Content-Type", "multipart/byteranges; boundary=B")
		r, at, n = bytes.NewReader(part), 0, int64(len(part))
	}
	x.stream(206, head, r, at, n)
}

// cdn answers what was signed, and never with a token.
func (x *exchange) cdn() {
	q := x.r.URL.Query()
	expires, err := strconv.ParseInt(q.Get("Expires"), 10, 64)
	switch {
	case x.entry.Token:
		x.xml(400, "InvalidArgument", "Only one auth mechanism allowed")
		return
	case err != nil || q.Get("Signature") != x.h.sign(x.r.URL.Path+q.Get("p")+q.Get("f"), expires):
		x.xml(403, "AccessDenied", "Access denied")
		return
	case time.Now().Unix() > expires:
		x.xml(403, "AccessDenied", "Request has expired")
		return
	}
	f := x.h.labelled(q.Get("p"))
	e, ok := f.find(q.Get("f"))
	opened, err := f.fs.Open(e.name)
	if !ok || err != nil {
		x.xml(404, "NoSuchKey", "The specified key does not exist.")
		return
	}
	defer opened.Close()
	r, ok := opened.(io.ReaderAt)
	if !ok {
		x.xml(500, "InternalError", "the file cannot be read by ranges")
		return
	}
	etag := path.Base(x.r.URL.Path)[:32]
	if x.fault.is("changed") {
		etag = "changed-" + etag
	}
	if q.Get("bad") != "" || x.fault.is("changed", "changed-silent") {
		r = flipped{r}
	}
	x.content(r, e.size, http.Header{"Etag": {`"` + etag + `"`}, "Accept-Ranges": {"bytes"}, "Last-Modified": {e.mod.UTC().Format(http.TimeFormat)}})
}

// flipped is another file of the same size.
type flipped struct{ io.ReaderAt }

func (f flipped) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.ReaderAt.ReadAt(p, off)
	for i := range p[:n] {
		p[i] ^= 0x55
	}
	return n, err
}

// signed is where the CDN, or the stranger, has a file.
func (h *Hub) signed(to string, f *folder, name, sum, more string) string {
	label := f.repo
	if f.name != "main" {
		label += "@" + f.name
	}
	where, expires := "/repos/"+sum, time.Now().Add(h.o.Expires).Unix()
	q := url.Values{"f": {name}, "p": {label}, "Expires": {strconv.FormatInt(expires, 10)}, "Signature": {h.sign(where+label+name, expires)}}
	return to + where + "?" + q.Encode() + more
}
