package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// asked is what a fake network was sent.
type asked struct{ url, auth, cookie, referer, extra, encoding string }

// network answers by URL without its query, over no network at all.
type network struct {
	mu     sync.Mutex
	asked  []asked
	answer map[string]func(*http.Request) (int, http.Header, string)
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	n.asked = append(n.asked, asked{r.URL.String(), r.Header.Get("Authorization"), r.Header.Get("Cookie"), r.Header.Get("Referer"),
		r.Header.Get("X-Extra"), r.Header.Get("Accept-Encoding")})
	n.mu.Unlock()
	w := httptest.NewRecorder()
	at := *r.URL
	at.RawQuery = ""
	if f := n.answer[at.String()]; f != nil {
		status, h, body := f(r)
		for k, v := range h {
			w.Header()[k] = v
		}
		w.WriteHeader(status)
		w.WriteString(body)
	} else {
		w.WriteHeader(200)
		w.WriteString(`{}`)
	}
	return w.Result(), nil
}

func redirect(to string) func(*http.Request) (int, http.Header, string) {
	return func(*http.Request) (int, http.Header, string) {
		return 302, http.Header{"Location": {to}, "Set-Cookie": {"a=b"}}, ""
	}
}

type table = map[string]func(*http.Request) (int, http.Header, string)

// The token goes to the origins that it is for: scheme, host and port, and no further.
func TestTokenStaysWithItsOrigins(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers table
		want    []string // the token of each hop: hub, mirror or -
	}{
		{"same origin", table{"https://hub.test/a": redirect("/b")}, []string{"hub", "hub"}},
		{"its port told", table{"https://hub.test/a": redirect("https://HUB.test:443/b")}, []string{"hub", "hub"}},
		{"another port", table{"https://hub.test/a": redirect("https://hub.test:8443/b")}, []string{"hub", "-"}},
		{"a subdomain", table{"https://hub.test/a": redirect("https://cdn.hub.test/b")}, []string{"hub", "-"}},
		{"another host", table{"https://hub.test/a": redirect("//evil.test/b")}, []string{"hub", "-"}},
		{"to a mirror that has a token", table{"https://hub.test/a": redirect("https://mirror.test/b")}, []string{"hub", "mirror"}},
		{"away and back", table{"https://hub.test/a": redirect("https://evil.test/b"), "https://evil.test/b": redirect("https://hub.test/c")}, []string{"hub", "-", "-"}},
		{"a name and password in the address", table{"https://hub.test/a": redirect("https://u:p@evil.test/b")}, []string{"hub", "-"}},
	} {
		n := &network{answer: c.answers}
		client := New(Options{Transport: n, Sleep: noWait, Token: func(origin string) string {
			return map[string]string{"https://hub.test:443": "hub", "https://mirror.test:443": "mirror"}[origin]
		}})
		if _, err := client.Do(t.Context(), Request{URL: "https://hub.test/a", Header: http.Header{"X-Extra": {"1"}}}); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for i, a := range n.asked {
			want := "Bearer " + c.want[i]
			if c.want[i] == "-" {
				want = ""
			}
			home := Origin(a.url) == "https://hub.test:443" && c.want[i] != "-"
			if a.auth != want || a.cookie != "" || a.referer != "" || (a.extra != "") != home || a.encoding != "identity" || strings.Contains(a.url, "u:p") {
				t.Errorf("%s: hop %d was sent %+v, want %q", c.name, i+1, a, want)
			}
		}
		if len(n.asked) != len(c.want) {
			t.Errorf("%s: %d hops, want %d", c.name, len(n.asked), len(c.want))
		}
	}
}

// A redirect that must not be followed is refused at once, and the error has the chain
// without what was signed.
func TestRedirectsThatAreRefused(t *testing.T) {
	long := table{}
	for i := range 20 {
		long[fmt.Sprintf("https://hub.test/%d", i)] = redirect(fmt.Sprintf("/%d", i+1))
	}
	for _, c := range []struct {
		start   string
		answers table
		want    string
		asked   int
	}{
		{"https://hub.test/a", table{"https://hub.test/a": redirect("http://hub.test/b?sig=secret")}, "from https to http (https://hub.test/a -> http://hub.test/b)", 1},
		{"https://hub.test/a", table{"https://hub.test/a": redirect("file:///etc/passwd")}, "neither http nor https", 1},
		{"https://hub.test/a", table{"https://hub.test/a": redirect("")}, "does not say where to", 1},
		{"https://hub.test/a", table{"https://hub.test/a": redirect("https://b.test/?sig=secret"), "https://b.test/": redirect("https://hub.test/a")}, "leads back to itself", 2},
		{"https://hub.test/a", table{"https://hub.test/a": redirect("http://[::1")}, "not a URL", 1},
		{"https://hub.test/0", long, "more than 10 hops", 11},
		{"ftp://hub.test/0", nil, "not a URL of http", 0},
	} {
		n := &network{answer: c.answers}
		_, err := New(Options{Transport: n, Sleep: noWait}).Do(t.Context(), Request{URL: c.start})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v, want: %s", err, c.want)
		}
		if len(n.asked) != c.asked {
			t.Errorf("%s: %d requests, want %d", c.want, len(n.asked), c.asked)
		}
	}
}

// What is sent with a question goes to the server that was asked.
func TestBodiesStay(t *testing.T) {
	to307 := func(to string) func(*http.Request) (int, http.Header, string) {
		return func(*http.Request) (int, http.Header, string) { return 307, http.Header{"Location": {to}}, "" }
	}
	n := &network{answer: table{"https://hub.test/a": to307("/b"), "https://hub.test/b": to307("https://evil.test/c")}}
	_, err := New(Options{Transport: n, Sleep: noWait}).Do(t.Context(), Request{Method: "POST", URL: "https://hub.test/a", Body: []byte("x")})
	if err == nil || !strings.Contains(err.Error(), "to another server") || len(n.asked) != 2 {
		t.Errorf("%v after %d requests", err, len(n.asked))
	}
}

func TestOrigin(t *testing.T) {
	for raw, want := range map[string]string{
		"https://Hub.test/x": "https://hub.test:443", "http://hub.test:80": "http://hub.test:80", "http://[::1]:9/": "http://[::1]:9",
		"https://hub.test./": "https://hub.test:443", "file:///x": "", "https:///x": "", "://": "",
	} {
		if got := Origin(raw); got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
}

// JSON that is none is asked for three times, and then quoted.
func TestJSON(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{"<!doctype html>\x1b[31m", `a web page instead of JSON, a proxy's or a login's: it begins "<!doctype html>\x1b[31m"`},
		{`{"a":`, "broken JSON"},
		{`{"a":1} trailing`, "broken JSON"},
	} {
		n := &network{answer: table{"https://hub.test/a": func(*http.Request) (int, http.Header, string) { return 200, nil, c.body }}}
		var into map[string]json.RawMessage
		_, err := New(Options{Transport: n, Sleep: noWait}).JSON(t.Context(), Request{URL: "https://hub.test/a?q=secret"}, &into)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "https://hub.test/a: after 3 tries: ") || len(n.asked) != 3 {
			t.Errorf("%q: %v after %d requests", c.body, err, len(n.asked))
		}
	}
	n := &network{answer: table{"https://hub.test/a": func(*http.Request) (int, http.Header, string) { return 200, nil, strings.Repeat(" ", 2000) }}}
	if _, err := New(Options{Transport: n}).Do(t.Context(), Request{URL: "https://hub.test/a", Most: 1000}); err == nil || !strings.Contains(err.Error(), "more than the 1000 bytes") {
		t.Errorf("a body beyond its bound: %v", err)
	}
}

// A refusal keeps what the server said of it, made harmless when it is printed.
func TestStatusError(t *testing.T) {
	n := &network{answer: table{"https://hub.test/a": func(*http.Request) (int, http.Header, string) {
		return 401, http.Header{"X-Error-Code": {"GatedRepo"}, "X-Error-Message": {"log in \x1b[31m\n"}}, "<html>"
	}}}
	_, err := New(Options{Transport: n}).Do(t.Context(), Request{URL: "https://hub.test/a?q=secret"})
	status, ok := errors.AsType[*StatusError](err)
	if !ok || status.Status != 401 || status.Code != "GatedRepo" || string(status.Body) != "<html>" || len(n.asked) != 1 {
		t.Fatalf("%v after %d requests", err, len(n.asked))
	}
	if want := `https://hub.test/a: hub.test answers 401 Unauthorized (GatedRepo): log in \x1b[31m\n`; err.Error() != want {
		t.Errorf("%s\nwant %s", err, want)
	}
}

// After a 429 every worker waits, and while few requests are left they are spread.
func TestLimits(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	header := func(limit, policy, after string) http.Header {
		h := http.Header{}
		for k, v := range map[string]string{"RateLimit": limit, "RateLimit-Policy": policy, "Retry-After": after} {
			if v != "" {
				h[http.CanonicalHeaderKey(k)] = []string{v}
			}
		}
		return h
	}
	policy := `"fixed window";"resolvers";q=3000;w=300`
	for _, c := range []struct {
		status int
		h      http.Header
		want   []time.Duration // of the next requests
	}{
		{200, header(`"resolvers";r=2999;t=180`, policy, ""), []time.Duration{0, 0}},
		{200, header(`"resolvers";r=300;t=30`, policy, ""), []time.Duration{0, 0}},
		{200, header(`"resolvers";r=100;t=50`, policy, ""), []time.Duration{0, 500 * time.Millisecond, time.Second}},
		{200, header(`"resolvers";r=0;t=300`, policy, ""), []time.Duration{0, longestPace, longestPace}},
		{200, header(`"resolvers";r=-1;t=x`, policy, ""), []time.Duration{0, 0}},
		{429, header(`"resolvers";r=0;t=55`, policy, ""), []time.Duration{55 * time.Second, 55 * time.Second}},
		{429, header("", "", "7"), []time.Duration{7 * time.Second}},
		{429, header("", "", now.Add(9*time.Second).UTC().Format(http.TimeFormat)), []time.Duration{9 * time.Second}},
		{503, header("", "", "3"), []time.Duration{3 * time.Second}},
		{200, header("", "", "3"), []time.Duration{0}},
		{429, header("", "", "99999999999999999999"), []time.Duration{0}},
		{429, header("", "", "-5"), []time.Duration{0}},
	} {
		l := newLimits()
		l.saw("x", now, c.status, c.h)
		for i, want := range c.want {
			if got := l.turn("x", now); got.Round(time.Millisecond) != want {
				t.Errorf("%d %v: request %d waits %v, want %v", c.status, c.h, i+1, got, want)
			}
		}
		if got := l.turn("y", now); got != 0 {
			t.Errorf("another lane waits %v", got)
		}
	}
}

// A limit of one lane holds back the workers of that lane before they ask.
func TestWorkersWait(t *testing.T) {
	n := &network{answer: table{"https://hub.test/api/models/a": func(r *http.Request) (int, http.Header, string) {
		if r.URL.RawQuery == "first" {
			return 429, http.Header{"Retry-After": {"20"}}, ""
		}
		return 200, nil, "{}"
	}}}
	var mu sync.Mutex
	var waits []time.Duration
	c := New(Options{Transport: n, Patience: Patience{Tries: 1}, Sleep: func(_ context.Context, d time.Duration) error {
		mu.Lock()
		waits = append(waits, d.Round(time.Second))
		mu.Unlock()
		return nil
	}})
	if _, err := c.Do(t.Context(), Request{URL: "https://hub.test/api/models/a?first"}); err == nil || !strings.Contains(err.Error(), "the limit resets in 20s") {
		t.Fatal(err)
	}
	for _, u := range []string{"https://hub.test/api/models/a", "https://hub.test/org/name/resolve/main/x"} {
		if _, err := c.Do(t.Context(), Request{URL: u}); err != nil {
			t.Fatal(err)
		}
	}
	if len(waits) != 1 || waits[0] != 20*time.Second {
		t.Errorf("waits %v, want one of 20s", waits)
	}
}

func TestHolds(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for query, want := range map[string]time.Duration{
		fmt.Sprintf("Expires=%d", now.Unix()+1000):       800 * time.Second,
		"X-Amz-Date=20260102T030405Z&X-Amz-Expires=3600": 2880 * time.Second,
		"X-Goog-Date=20260102T030405Z&X-Goog-Expires=10": 8 * time.Second,
		"se=2026-01-02T03:05:45Z":                        80 * time.Second,
		"":                                               defaultHold,
		"Expires=-5":                                     defaultHold,
		"Expires=99999999999999999999":                   defaultHold,
	} {
		u := &url.URL{Scheme: "https", Host: "cdn.test", RawQuery: query}
		if got := holds(u, now).Sub(now); got != want {
			t.Errorf("%q holds for %v, want %v", query, got, want)
		}
	}
}

func TestContentRange(t *testing.T) {
	for text, want := range map[string]string{
		"bytes 0-9/10": "0 9 10 true", "bytes 5-9/*": "5 9 -1 true", "bytes */10": "-1 -1 10 true",
		"bytes 0-10/10": "false", "bytes 9-5/10": "false", "bytes 0-9": "false", "bytes=0-9/10": "false", "bytes -9/10": "false",
		"bytes 0-9/99999999999999999999": "false", "": "false", "bytes */*": "false",
	} {
		first, last, total, ok := contentRange(text)
		got := fmt.Sprint(first, last, total, ok)
		if !ok {
			got = "false"
		}
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// HTTP/2 is used where it is offered, and what no authority vouches for is not tried again.
func TestTLS(t *testing.T) {
	data := random(200_000)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Proto", r.Proto)
		http.ServeContent(w, r, "f", time.Unix(1e9, 0), strings.NewReader(string(data)))
	}))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	c := New(Options{Sleep: noWait})
	defer c.Close()
	if _, err := c.Do(t.Context(), Request{URL: s.URL}); err == nil || !strings.Contains(err.Error(), "SSL_CERT_FILE") || strings.Contains(err.Error(), "tries") {
		t.Errorf("an unknown authority: %v", err)
	}
	tr := newTransport(DefaultPatience, 4)
	tr.TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig
	trusting := New(Options{Transport: tr, Sleep: noWait})
	defer trusting.Close()
	f := trusting.Open(t.Context(), Source{Name: "f", URL: s.URL, Size: -1})
	facts, err := f.Facts()
	if err != nil || facts.Size != int64(len(data)) || facts.First.Get("X-Proto") != "HTTP/2.0" || facts.Modified == "" {
		t.Errorf("%+v, %v", facts, err)
	}
	if err := readAll(f, data); err != nil {
		t.Error(err)
	}
}

// What a request may waste is counted before it is spent: the next silence, too.
func TestSilenceIsBounded(t *testing.T) {
	for _, k := range []kind{silent, slow} {
		c := New(Options{Sleep: noWait})
		a, spent, tries := c.attempts("f", 0, 1), time.Duration(0), 0
		for err := error(nil); err == nil; tries++ {
			if k == silent {
				spent += a.silence()
			} else {
				spent += c.patience.Slow
			}
			err = a.again(t.Context(), failed(k, "in vain"))
		}
		if spent > c.patience.Waste || tries < 2 {
			t.Errorf("kind %d: %d tries spend %v, %v are allowed", k, tries, spent, c.patience.Waste)
		}
	}
}

// A server that ignores If-Match is found out by what its next answer says of the file.
func TestChangedWithoutConditions(t *testing.T) {
	for _, name := range []string{"Etag", "Last-Modified"} {
		answers := 0
		n := &network{answer: table{"https://hub.test/f": func(r *http.Request) (int, http.Header, string) {
			answers++
			var from, to int
			fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to)
			return 206, http.Header{name: {fmt.Sprintf(`"%d"`, answers)}, "Content-Range": {fmt.Sprintf("bytes %d-%d/1000000", from, to)}}, strings.Repeat("x", to-from+1)
		}}}
		f := New(Options{Transport: n, Sleep: noWait}).Open(t.Context(), Source{Name: "f", URL: "https://hub.test/f", Size: 1_000_000})
		_, err := f.ReadAt(make([]byte, 500_000), 0)
		if !errors.Is(err, ErrChanged) || answers != 2 || !strings.Contains(err.Error(), `it was \"1\", it is \"2\"`) {
			t.Errorf("%s: %v after %d answers", name, err, answers)
		}
	}
}

// Whatever comes begins the wait for silence anew.
func TestBytesEndSilence(t *testing.T) {
	w := New(Options{}).watch(t.Context(), time.Hour)
	defer w.stop()
	r := w.reader(strings.NewReader("ab"))
	for range 2 {
		w.timer.Stop()
		r.Read(make([]byte, 1))
		if !w.timer.Stop() {
			t.Error("after a byte nothing watches for silence")
		}
	}
}
