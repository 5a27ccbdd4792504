package hub

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"wreg/ingest/folder"
	"wreg/ingest/regular"
)

// site is the hub itself, where HF_ENDPOINT names no other.
const site = "https://huggingface.co"

// own are the origins of the hub that its own token may go to.
var own = []string{site, "https://hf.co"}

func endpoint() string {
	return strings.TrimRight(cmp.Or(os.Getenv("HF_ENDPOINT"), site), "/")
}

// Login is how the environment says to reach the hub, as hf reads it.
type Login struct {
	Endpoint string // without a slash at its end
	Offline  string // the variable that forbids every request, "" when none does
	From     string // where the token came from; "" when there is none
	none     string // why there is none, and where it was looked for
	token    string
	origins  []string
}

// maxToken bounds the bytes of the file of a token.
const maxToken = 1 << 16

// ReadLogin reads the environment: where the hub is, whether it may be asked, and the token, from HF_TOKEN, else
// HUGGING_FACE_HUB_TOKEN, else the file that hf auth login writes.
func ReadLogin() (*Login, error) {
	l := &Login{Endpoint: endpoint()}
	u, err := url.Parse(l.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("HF_ENDPOINT is %q, not the address of a hub: want https://HOST, or http://HOST for one without TLS", l.Endpoint)
	}
	for _, address := range append(slices.Clone(own), l.Endpoint) {
		l.origins = append(l.origins, originOf(address))
	}
	for _, v := range []variable{{"HF_HUB_OFFLINE", os.Getenv("HF_HUB_OFFLINE")}, {"TRANSFORMERS_OFFLINE", os.Getenv("TRANSFORMERS_OFFLINE")}} {
		if isTrue(v.text) {
			l.Offline = v.name
			return l, nil
		}
	}
	return l, l.readToken()
}

// variable is one of the environment.
type variable struct{ name, text string }

// isTrue is what hf takes for yes.
func isTrue(text string) bool {
	return slices.Contains([]string{"1", "ON", "YES", "TRUE"}, strings.ToUpper(text))
}

func (l *Login) readToken() error {
	if isTrue(os.Getenv("HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
		l.none = "no token was sent, since HF_HUB_DISABLE_IMPLICIT_TOKEN is set"
		return nil
	}
	for _, v := range []variable{{"HF_TOKEN", os.Getenv("HF_TOKEN")}, {"HUGGING_FACE_HUB_TOKEN", os.Getenv("HUGGING_FACE_HUB_TOKEN")}} {
		if v.text == "" {
			continue
		}
		if text := clean(v.text); text != "" {
			return l.take(text, v.name)
		}
		break // after a variable of blanks hf looks into the file at once
	}
	path, err := tokenPath()
	if err != nil {
		l.none = "there was no token: neither HF_TOKEN nor a home folder is set"
		return nil
	}
	l.none = fmt.Sprintf("there was no token, neither in HF_TOKEN nor in %s", path)
	if os.Getenv("HF_OIDC_RESOURCE") != "" {
		l.none += " (HF_OIDC_RESOURCE is set, and wreg gets no token by OIDC: give it one in HF_TOKEN)"
	}
	data, err := regular.Read(path, maxToken)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("the token: %s: %w; remove it, or set HF_TOKEN", path, folder.Cause(err))
	}
	if text := clean(string(data)); text != "" {
		return l.take(text, path)
	}
	return nil
}

func tokenPath() (string, error) {
	if path := os.Getenv("HF_TOKEN_PATH"); path != "" {
		return folder.Expanded(path)
	}
	home, err := folder.HubHome()
	return filepath.Join(home, "token"), err
}

// clean takes line ends and blanks off a token, as hf does.
func clean(text string) string {
	return strings.TrimSpace(strings.NewReplacer("\r", "", "\n", "").Replace(text))
}

func (l *Login) take(token, from string) error {
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return fmt.Errorf("the token from %s holds blanks, control characters or letters beyond ASCII, which no token does; run: hf auth login", from)
	}
	l.token, l.From = token, from
	return nil
}

// Token is what to send to an origin (scheme, host and port): only the hub's own, and that of HF_ENDPOINT,
// get the token.
func (l *Login) Token(origin string) string {
	if l.token != "" && slices.Contains(l.origins, originOf(origin)) {
		return l.token
	}
	return ""
}

// originOf is scheme, host and port of an address, each in one spelling; "" when it has none.
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	scheme := strings.ToLower(u.Scheme)
	port := cmp.Or(u.Port(), map[string]string{"https": "443", "http": "80"}[scheme])
	return scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
