package ui

import (
	"crypto/subtle"
	"net/http"
	"net/url"
	"path"
	"slices"
	"sync"
)

// headers are on every answer: what a page may load, be embedded in and tell others.
var headers = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; " +
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cache-Control":                "no-store",
}

// guarded lets through what the browser of who started the server asks for. In this order:
// only reading; only under the name that the server has, which a page of another
// site that made its own name lead here does not use; not from another site's page; only
// with the cookie, or the token it is given for.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range headers {
			w.Header().Set(name, value)
		}
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			s.refuse(w, r, http.StatusMethodNotAllowed, "wreg ui only reads", "Only GET and HEAD are answered. What changes the registry is done on the command line.")
		case r.Host != "127.0.0.1:"+s.port && r.Host != "localhost:"+s.port:
			s.refuse(w, r, http.StatusMisdirectedRequest, "This is not the server's name", "Open the address that wreg ui printed.")
		case r.Header.Get("Origin") != "" && r.Header.Get("Origin") != "http://"+r.Host:
			s.refuse(w, r, http.StatusForbidden, "Asked by another site", "Open the address that wreg ui printed.")
		case r.URL.Query().Has("token"):
			s.admit(w, r)
		case !here(r.Header.Get("Sec-Fetch-Site")) || r.Header.Get("Referer") != "": // our own pages name none
			s.refuse(w, r, http.StatusForbidden, "Asked by another site", "Open the address that wreg ui printed.")
		case !s.admitted(r):
			s.refuse(w, r, http.StatusForbidden, "The token is missing", "Open the address that wreg ui printed: the token in it is what lets a browser in. When wreg ui was started again, the token is a new one.")
		default:
			defer s.idle.begin()()
			next.ServeHTTP(w, r)
		}
	})
}

// here reports that a browser asks for a page of this server, or for its user; "" is what
// other programs, and old browsers, say.
func here(site string) bool { return site == "" || site == "same-origin" || site == "none" }

// admit exchanges the token of the address for a cookie. The link may have been clicked in a page
// of another site, such as a terminal in a browser; a redirect would then still count as that
// site's, and go without the cookie, so a page of our own leads on.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if !same(q.Get("token"), s.token) && !s.once.take(r.Method, q.Get("token")) {
		s.refuse(w, r, http.StatusForbidden, "The token is another one", "Open the address that wreg ui printed last: each start has a token of its own.")
		return
	}
	defer s.idle.begin()()
	http.SetCookie(w, &http.Cookie{Name: s.cookie(), Value: s.session, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	q.Del("token")
	s.show(w, r, http.StatusOK, "enter", (&url.URL{Path: path.Clean("/" + r.URL.Path), RawQuery: q.Encode()}).String())
}

// cookie is the cookie's name. Browsers give one host's cookies to all of its ports.
func (s *Server) cookie() string { return "wreg-" + s.port }

// admitted looks at every cookie of the name: another server on this machine can set one, too.
func (s *Server) admitted(r *http.Request) bool {
	return slices.ContainsFunc(r.CookiesNamed(s.cookie()), func(c *http.Cookie) bool { return same(c.Value, s.session) })
}

// ticket is a token that lets in once: every user of a machine can read the arguments of programs, a
// browser's among them, and those stay for as long as it runs.
type ticket struct {
	mu    sync.Mutex
	value string // "" when it was taken
}

func (t *ticket) take(method, value string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.value == "" || method == http.MethodHead || !same(value, t.value) {
		return false
	}
	t.value = ""
	return true
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
