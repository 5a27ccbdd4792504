package ui

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"wreg/registry"
	"wreg/registry/tensor"
)

// ask hands a request to the server without a connection, as no browser would make it.
func ask(s *Server, method, target string, edit func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/", nil)
	r.Host = "127.0.0.1:" + s.port
	r.RequestURI = target
	path, query, _ := strings.Cut(target, "?")
	r.URL.Path, r.URL.RawQuery = path, query
	r.AddCookie(&http.Cookie{Name: s.cookie(), Value: s.session})
	if edit != nil {
		edit(r)
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

// listening is a server that is not run.
func listening(t testing.TB) *Server {
	t.Helper()
	s, err := Listen(Options{Registry: small(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// Whoever is not the browser of who started the server learns nothing.
func TestGuard(t *testing.T) {
	s := listening(t)
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	host := func(h string) func(*http.Request) {
		return func(r *http.Request) { r.Host = strings.ReplaceAll(h, "PORT", s.port) }
	}
	origin := func(o string) func(*http.Request) { return header("Origin", strings.ReplaceAll(o, "PORT", s.port)) }
	cookie := func(name, value string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Del("Cookie")
			if name != "" {
				r.AddCookie(&http.Cookie{Name: name, Value: value})
			}
		}
	}
	for _, c := range []struct {
		about  string
		edit   func(*http.Request)
		status int
	}{
		{"the user's browser", nil, http.StatusOK},
		{"by the name localhost", host("localhost:PORT"), http.StatusOK},
		{"from its own page", origin("http://127.0.0.1:PORT"), http.StatusOK},
		{"typed in", header("Sec-Fetch-Site", "none"), http.StatusOK},
		{"its own script", header("Sec-Fetch-Site", "same-origin"), http.StatusOK},
		{"beside a cookie of that name that another server set", func(r *http.Request) {
			r.Header.Set("Cookie", s.cookie()+"=0; "+s.cookie()+"="+s.session)
		}, http.StatusOK},

		{"no cookie", cookie("", ""), http.StatusForbidden},
		{"an empty cookie", cookie(s.cookie(), ""), http.StatusForbidden},
		{"a wrong cookie", cookie(s.cookie(), strings.Repeat("0", 64)), http.StatusForbidden},
		{"the token as a cookie", cookie(s.cookie(), s.token), http.StatusForbidden},
		{"the cookie of another port", cookie("wreg-1", s.session), http.StatusForbidden},

		{"a foreign name", host("evil.example"), http.StatusMisdirectedRequest},
		{"a foreign name with the port", host("evil.example:PORT"), http.StatusMisdirectedRequest},
		{"a name that begins so", host("127.0.0.1:PORT.evil.example"), http.StatusMisdirectedRequest},
		{"a name that ends so", host("evil.127.0.0.1:PORT"), http.StatusMisdirectedRequest},
		{"no port", host("127.0.0.1"), http.StatusMisdirectedRequest},
		{"another port", host("127.0.0.1:1"), http.StatusMisdirectedRequest},
		{"all addresses", host("0.0.0.0:PORT"), http.StatusMisdirectedRequest},
		{"no name", host(""), http.StatusMisdirectedRequest},
		{"another of this machine's names", host("[::1]:PORT"), http.StatusMisdirectedRequest},

		{"another site's script", origin("http://evil.example"), http.StatusForbidden},
		{"a page without a site", origin("null"), http.StatusForbidden},
		{"another port's script", origin("http://127.0.0.1:1"), http.StatusForbidden},
		{"another scheme", origin("https://127.0.0.1:PORT"), http.StatusForbidden},
		{"the other name's script", origin("http://localhost:PORT"), http.StatusForbidden},
		{"a link on another site", header("Sec-Fetch-Site", "cross-site"), http.StatusForbidden},
		{"a link on another port", header("Sec-Fetch-Site", "same-site"), http.StatusForbidden},
		{"a link of an old browser on another site", header("Referer", "http://evil.example/"), http.StatusForbidden},
		{"a link of an old browser on another port", header("Referer", "http://127.0.0.1:1/"), http.StatusForbidden},
	} {
		for _, path := range []string{"/", "/model/hy@1", "/query?q=find+*&model=hy", "/complete?q=", "/static/ui.js", "/part/models"} {
			w := ask(s, http.MethodGet, path, c.edit)
			if w.Code != c.status {
				t.Errorf("%s: %s: %d, want %d", c.about, path, w.Code, c.status)
			}
			if c.status != http.StatusOK && (strings.Contains(w.Body.String(), "hy@1") || strings.Contains(w.Body.String(), s.Registry)) {
				t.Errorf("%s: %s: the refusal tells of the registry:\n%s", c.about, path, w.Body)
			}
			inspect(t, path, w)
		}
	}
}

// inspect holds what every answer must say of itself.
func inspect(t *testing.T, path string, w *httptest.ResponseRecorder) {
	t.Helper()
	csp := w.Header().Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("%s: the policy %q has no %q", path, csp, want)
		}
	}
	for _, clause := range strings.Split(csp, "; ") { // what is let through at all
		if name, from, _ := strings.Cut(clause, " "); from != "'none'" && from != "'self'" && clause != "img-src data:" {
			t.Errorf("%s: the policy lets through what it should not: %s %s", path, name, from)
		}
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "X-Frame-Options": "DENY"} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %s is %q, want %q", path, name, got, want)
		}
	}
	if w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%s: other sites may read it", path)
	}
}

// A server does not end while it answers; who is turned away does not keep it.
func TestAnswersKeepItAlive(t *testing.T) {
	s := listening(t)
	active := -1
	s.handler = s.guarded(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { active = s.idle.active }))
	if ask(s, http.MethodGet, "/", nil); active != 1 || s.idle.active != 0 {
		t.Errorf("%d requests are answered while one is, and %d after it", active, s.idle.active)
	}
	s.idle.timer = time.NewTimer(time.Hour)
	if !s.idle.timer.Stop() {
		t.Fatal("an hour is over")
	}
	ask(s, http.MethodGet, "/", func(r *http.Request) { r.Host = "evil.example" })
	if s.idle.timer.Stop() {
		t.Error("a request that is refused starts the time anew")
	}
}

// Nothing but reading is answered, on any path.
func TestOnlyReading(t *testing.T) {
	s := listening(t)
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get"} {
		for _, path := range []string{"/", "/model/hy@1", "/query?q=find+*", "/complete", "/static/ui.js", "/nothing", "/?token=" + s.token} {
			w := ask(s, method, path, nil)
			if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d, Allow %q", method, path, w.Code, w.Header().Get("Allow"))
			}
			inspect(t, path, w)
		}
	}
	for _, path := range []string{"/", "/model/hy@1", "/complete?q=f", "/static/ui.js"} {
		if w := ask(s, http.MethodHead, path, nil); w.Code != http.StatusOK {
			t.Errorf("HEAD %s: %d", path, w.Code)
		}
	}
}

// The token is exchanged for a cookie that scripts and other sites do not get; a link to it may
// stand anywhere.
func TestToken(t *testing.T) {
	s := listening(t)
	strange := func(r *http.Request) {
		r.Header.Del("Cookie")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
	}
	w := ask(s, http.MethodGet, "/model/hy@1?token="+s.token+"&x=1", strange)
	set := w.Result().Cookies()
	if w.Code != http.StatusOK || len(set) != 1 {
		t.Fatalf("%d, cookies %v", w.Code, set)
	}
	if c := set[0]; c.Value != s.session || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" {
		t.Errorf("the cookie is %v", c)
	}
	if body := w.Body.String(); !strings.Contains(body, `content="0;url=/model/hy@1?x=1"`) || strings.Contains(body, s.token) {
		t.Errorf("it leads on so:\n%s", body)
	}
	inspect(t, "/?token", w)
	for path, to := range map[string]string{"//evil.example/": "/evil.example", "/\\evil.example": "/%5Cevil.example", "/%2f%2fevil.example": "/%252f%252fevil.example", "/..//x/../y": "/y"} {
		if body := ask(s, http.MethodGet, path+"?token="+s.token, strange).Body.String(); !strings.Contains(body, `url=`+to+`"`) {
			t.Errorf("%s leads elsewhere than %s:\n%s", path, to, body)
		}
	}
	for _, token := range []string{"", "x", s.session, s.token[:63], s.token + "0", strings.ToUpper(s.token)} {
		w := ask(s, http.MethodGet, "/?token="+token, nil)
		if w.Code != http.StatusForbidden || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("token %q: %d", token, w.Code)
		}
	}
	if w := ask(s, http.MethodGet, "/?token="+s.token, func(r *http.Request) { r.Host = "evil.example" }); w.Code != http.StatusMisdirectedRequest {
		t.Errorf("the token under a foreign name: %d", w.Code)
	}
	other := listening(t)
	if other.token == s.token || other.session == s.session || len(s.token) != 64 {
		t.Error("two servers have one secret, or a short one")
	}
}

// An address that a program is started with lets in once.
func TestOnce(t *testing.T) {
	s := listening(t)
	strange := func(r *http.Request) { r.Header.Del("Cookie") }
	u, err := url.Parse(s.OnceURL("hy@1"))
	if err != nil || u.Path != "/model/hy@1" || strings.Contains(u.RawQuery, s.token) {
		t.Fatalf("%v, %v", u, err)
	}
	if w := ask(s, http.MethodHead, u.RequestURI(), strange); w.Code != http.StatusForbidden {
		t.Errorf("HEAD: %d", w.Code)
	}
	if w := ask(s, http.MethodGet, u.RequestURI(), func(r *http.Request) { r.Host = "evil.example" }); w.Code != http.StatusMisdirectedRequest {
		t.Errorf("under a foreign name: %d", w.Code)
	}
	if w := ask(s, http.MethodGet, u.RequestURI(), strange); w.Code != http.StatusOK || len(w.Result().Cookies()) != 1 {
		t.Errorf("the first time: %d", w.Code)
	}
	for _, uri := range []string{u.RequestURI(), "/?token="} {
		if w := ask(s, http.MethodGet, uri, strange); w.Code != http.StatusForbidden || len(w.Result().Cookies()) != 0 {
			t.Errorf("%s: %d after the first time", uri, w.Code)
		}
	}
	if w := ask(s, http.MethodGet, "/?token="+s.token, strange); w.Code != http.StatusOK {
		t.Errorf("the address that was printed: %d", w.Code)
	}
}

// OPTIONS of no path is not answered by net/http for us.
func TestOptions(t *testing.T) {
	r := serve(t, small(t))
	c, err := net.Dial("tcp", r.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: close\r\n\r\n", r.port); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 405 ") {
		t.Errorf("%q, %v", line, err)
	}
}

// No path leads out of the pages, and no redirect off this server.
func TestPaths(t *testing.T) {
	s := listening(t)
	for _, path := range []string{
		"/static/", "/static", "/static/../ui.go", "/static/..%2f..%2fgo.mod", "/static/../../../etc/passwd", "/static/%00", "/static/ui.js/", "/static//ui.js",
		"//evil.example/", "/\\evil.example", "/model/", "/model/..", "/model/../static/ui.css", "/model/%2e%2e", "/model/hy@1/../../etc/passwd", "/model/hy@1/files/model.safetensors",
		"/model/hy%40", "/model/*", "/.", "/./", "/part", "/part/model/", "/htmx.js", "/debug/pprof/", "/templates/base.html",
	} {
		w := ask(s, http.MethodGet, path, nil)
		if to := w.Header().Get("Location"); to != "" && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.HasPrefix(to, "/\\")) {
			t.Errorf("%s leads to %s", path, to)
		} else if to == "" && w.Code != http.StatusNotFound {
			t.Errorf("%s: %d\n%s", path, w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), "root:") || strings.Contains(w.Body.String(), "package ui") {
			t.Errorf("%s shows a file", path)
		}
	}
}

// Nothing but this machine's own address is bound.
func TestLoopback(t *testing.T) {
	s := listening(t)
	addr := s.listener.Addr().(*net.TCPAddr)
	if !addr.IP.Equal(net.IPv4(127, 0, 0, 1)) {
		t.Errorf("bound to %v", addr)
	}
	if _, err := Listen(Options{Registry: s.Registry, Port: addr.Port}); err == nil || !strings.Contains(err.Error(), "--port") {
		t.Errorf("the port is taken: %v", err)
	}
}

// Names of tensors, models and folders are text wherever they are shown.
func TestHostileNames(t *testing.T) {
	r := serve(t, small(t))
	pages := []string{"/", "/part/models", "/part/model/evil@1", "/model/evil@1", "/model/evil@1/coverage", "/model/evil@1/statistics", "/model/evil@1/tensors",
		"/model/evil@1/tensors?filter=%3Cimg", "/model/evil@1/tensors?sort=-bytes&filter=%22%3E%3Cscript%3E", "/model/evil@1/files", "/model/evil@1/receipt", "/model/evil@1/compare?with=hy",
		"/query?q=find+*+in+evil", "/query?q=find+*+in+evil&expand=1", "/query?q=%3Cimg+src%3Dx%3E", "/query?q=find+*&model=%3Cimg+src%3Dx%3E", "/model/%3Cimg%20src=x%3E", "/%3Cimg%20src=x%3E"}
	for _, name := range hostile {
		pages = append(pages, link("evil@1", "tensor", "path", name), link("evil@1", "coverage", "component", name, "column", "<b>"))
	}
	shown, data := 0, regexp.MustCompile(`(?s)<script type="application/json".*?</script>`)
	for _, path := range pages {
		_, page := r.get(path)
		for _, bad := range []string{"<img", "<svg/", "document.title='owned'\"", "<b>", "\u202e", "\x1b", "javascript:alert", "<script>"} {
			if bad == "javascript:alert" {
				if strings.Contains(page, `href="javascript:`) {
					t.Errorf("%s: a link that acts", path)
				}
			} else if strings.Contains(page, bad) {
				t.Errorf("%s holds %q", path, bad)
			}
		}
		page = data.ReplaceAllString(page, "") // where JSON escapes the backslash
		if strings.Contains(page, `\\u202e`) || strings.Contains(page, `\\x1b`) {
			t.Errorf("%s: what does not show is shown twice over", path)
		}
		shown += strings.Count(page, "&lt;img")
	}
	if shown < 5 {
		t.Errorf("the name is shown %d times", shown)
	}
}

// Nor does a config.json, a receipt, a file's name or a finding show what does not show, or turn
// the text around: the browser is sent none of it.
func TestHostileFiles(t *testing.T) {
	const bad = "a\u202eb\u2028c\u2029d\u200be\u0085f</script><!--<script>"
	path := small(t)
	_, list := checkpoint(t, "hunyuan")
	text, err := json.Marshal(bad)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte(`\u2028`), []byte("\u2028"))
	r, err := registry.Open(path, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Put(t.Context(), registry.Revision{Model: "turned", Root: "/m/" + bad, Tool: "wreg", Config: []byte(`{"model_type": ` + string(text) + `}`), Receipt: []byte(`{"tool": ` + string(text) + `}`),
		Files: []tensor.File{{Name: bad, Format: "safetensors"}}, Findings: []tensor.Finding{{Rule: bad, File: bad, Tensor: bad, Message: bad}}}, list); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	s := serve(t, path)
	for _, page := range []string{"", "coverage", "statistics", "tensors", "files", "receipt", "compare", "compare?with=hy"} {
		status, text := s.get("/model/turned@1/" + page)
		if page == "" {
			status, text = s.get("/model/turned@1")
		}
		if status != http.StatusOK {
			t.Errorf("%s: %d", page, status)
		}
		for i, r := range text {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("%s has %U: %q", page, r, text[max(0, i-60):min(len(text), i+30)])
				break
			}
		}
		if strings.Contains(text, "<!--<script>") {
			t.Errorf("%s has markup that a file brought", page)
		}
	}
}
