// Package bucket asks a bucket of S3, and of what speaks its protocol: who asks, and where,
// comes from the environment and profile that every tool of AWS reads.
//
// Most users need [Parse], [Open], [Bucket.List], [Bucket.Head] and [Bucket.Do].
//
// Invariants: requests are signed for the bucket's own origin and no other, each try anew, so
// that no address carries a signature; where there are no credentials they are anonymous;
// nothing that is secret is in an error; what a listing says is bounded, and a refusal is one
// sentence with what to do.
package bucket

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"wreg/ingest/remote"
)

// Bucket is one bucket. It is safe for use by many goroutines.
type Bucket struct {
	Name    string
	Client  *remote.Client // signs
	account *account
	now     func() time.Time

	mu     sync.Mutex
	region string // where the bucket lies, as far as is known
}

var regionForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,40}$`)

// Open reads the environment, and asks for credentials where that takes a server. The bucket is not asked yet.
func Open(ctx context.Context, name string, o remote.Options) (*Bucket, error) {
	a, err := readAccount(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s%s: %w", Scheme, name, err)
	}
	b := &Bucket{Name: name, account: a, region: a.region, now: o.Now}
	if b.now == nil {
		b.now = time.Now
	}
	if _, err := a.credentials(ctx); err != nil {
		return nil, fmt.Errorf("%s%s: %w", Scheme, name, err)
	}
	o.Token = func(origin string) string {
		if origin == remote.Origin(b.base()) {
			return asked
		}
		return ""
	}
	o.Around = func(base http.RoundTripper) http.RoundTripper { return &signer{base, b} }
	b.Client = remote.New(o)
	return b, nil
}

// suffixes are the domains of Amazon's partitions, by how their regions begin.
var suffixes = []struct{ region, domain string }{
	{"cn-", "amazonaws.com.cn"}, {"us-isob-", "sc2s.sgov.gov"}, {"us-iso-", "c2s.ic.gov"}, {"eusc-", "amazonaws.eu"},
}

// elsewhere is the domain of all other regions.
const elsewhere = "amazonaws.com"

// base is the bucket's own address, without a slash at its end.
func (b *Bucket) base() string {
	if e := b.account.endpoint; e != nil {
		return e.String() + "/" + b.Name
	}
	region, kind := b.lies(), b.account.kind
	domain := elsewhere
	for _, s := range suffixes {
		if strings.HasPrefix(region, s.region) {
			domain = s.domain
			break
		}
	}
	host := kind + "." + region + "." + domain
	if strings.Contains(b.Name, ".") || b.Name != strings.ToLower(b.Name) || strings.Contains(b.Name, "_") { // a certificate is for one label
		return "https://" + host + "/" + b.Name
	}
	return "https://" + b.Name + "." + host
}

// URL is where a key is asked for; "" is the bucket itself.
func (b *Bucket) URL(key string, query url.Values) string {
	text := b.base() + "/" + escape(key)
	if key == "" && b.account.endpoint != nil {
		text = b.base()
	}
	if len(query) > 0 {
		text += "?" + strings.ReplaceAll(query.Encode(), "+", "%20")
	}
	return text
}

// escape encodes a key as its signature has it: all but letters, digits, - . _ ~ and slashes.
func escape(key string) string {
	const hex = "0123456789ABCDEF"
	var out strings.Builder
	for _, c := range []byte(key) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/", c) >= 0 {
			out.WriteByte(c)
		} else {
			out.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return out.String()
}

// nothing is the SHA-256 of an empty body.
var nothing = func() string { sum := sha256.Sum256(nil); return hex.EncodeToString(sum[:]) }()

// asked is the token of requests that may be signed; it is never sent.
const asked = "to be signed"

// signer signs what may be signed, each try anew.
type signer struct {
	http.RoundTripper
	b *Bucket
}

func (s *signer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Authorization") != "Bearer "+asked {
		return s.RoundTripper.RoundTrip(r)
	}
	r = r.Clone(r.Context())
	r.Header.Del("Authorization")
	if err := s.b.sign(r); err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	return s.RoundTripper.RoundTrip(r)
}

// CloseIdleConnections lets go of them.
func (s *signer) CloseIdleConnections() {
	if t, ok := s.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// sign signs a request to the bucket's own origin; where there are no credentials it stays anonymous.
func (b *Bucket) sign(r *http.Request) error {
	c, err := b.account.credentials(r.Context())
	if err != nil || c == nil {
		return err
	}
	hash := r.Header.Get("X-Amz-Content-Sha256")
	if hash == "" {
		hash = nothing
		r.Header.Set("X-Amz-Content-Sha256", hash)
	}
	accept := r.Header["Accept-Encoding"] // some stores alter it before they look at the signature
	delete(r.Header, "Accept-Encoding")
	err = v4.NewSigner().SignHTTP(r.Context(), *c, r, hash, "s3", b.lies(), b.now(), func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	r.Header["Accept-Encoding"] = accept
	return err
}

// Request is one question about a key.
type Request struct {
	Method string // "" is GET
	Key    string
	About  string // in errors, where it is about more than Key says: a prefix
	Query  url.Values
	Header http.Header
	Body   []byte
	Once   bool // never asked again after it was sent
}

// Do asks, in the region where the bucket turns out to lie.
func (b *Bucket) Do(ctx context.Context, q Request) (*remote.Answer, error) {
	ask := func() (*remote.Answer, error) {
		r := remote.Request{Name: Name{Bucket: b.Name, Key: cmp.Or(q.About, q.Key)}.String(), Method: q.Method, URL: b.URL(q.Key, q.Query), Header: q.Header.Clone(), Body: q.Body, Once: q.Once}
		if q.Method == http.MethodHead {
			r.Most = math.MaxInt64 / 2 // its length is the file's, and none of it comes
		}
		if len(q.Body) > 0 {
			sum := sha256.Sum256(q.Body)
			if r.Header == nil {
				r.Header = http.Header{}
			}
			r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
		}
		return b.Client.Do(ctx, r)
	}
	was := b.lies()
	a, err := ask()
	if err != nil && b.moved(err, was) {
		a, err = ask()
	}
	if err != nil {
		return nil, b.explain(ctx, q.Key, cmp.Or(q.About, q.Key), err)
	}
	return a, nil
}

// Upload is a piece of a file to send.
type Upload struct {
	Key    string
	Query  url.Values
	Header http.Header
	SHA256 string // of the piece, in hex: the signature holds it, and the store refuses others
	From   io.ReaderAt
	Off, N int64
	Check  func(http.Header) error
	Moved  func(int64)
}

// Upload sends a piece by PUT, as often as it takes.
func (b *Bucket) Upload(ctx context.Context, u Upload) (*remote.Answer, error) {
	h := u.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set("X-Amz-Content-Sha256", u.SHA256)
	at := Name{Bucket: b.Name, Key: u.Key}.String()
	a, err := b.Client.Upload(ctx, remote.Upload{Name: at, URL: b.URL(u.Key, u.Query), Token: true, Header: h, From: u.From, Off: u.Off, N: u.N, Check: u.Check, Moved: u.Moved})
	if err != nil {
		return nil, b.Explain(ctx, u.Key, err)
	}
	return a, nil
}

// XML is Do for an answer that is XML.
func (b *Bucket) XML(ctx context.Context, q Request, into any) (*remote.Answer, error) {
	a, err := b.Do(ctx, q)
	if err != nil {
		return nil, err
	}
	if err := xml.Unmarshal(a.Body, into); err != nil {
		return nil, fmt.Errorf("%s%s: %s answers with what is not XML (%w): it begins %+.60q; is it an endpoint of S3?", Scheme, b.Name, remote.Origin(b.base()), err, a.Body)
	}
	return a, nil
}

// lies is the region where the bucket lies, as far as is known.
func (b *Bucket) lies() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.region
}

// moved takes note of the region that a refusal names, and says whether that is another than was asked.
func (b *Bucket) moved(err error, was string) bool {
	status, ok := errors.AsType[*remote.StatusError](err)
	if !ok {
		return false
	}
	region := status.Header.Get("X-Amz-Bucket-Region")
	if region == "" {
		region = refusalIn(status).Region
	}
	if !regionForm.MatchString(region) || region == was {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.region = region
	return true
}

// said is the body of a refusal.
type said struct {
	Code    string `xml:"Code"`
	Message string `xml:"Message"`
	Region  string `xml:"Region"`
}

// refusalIn reads the body of a refusal, of which the beginning is kept.
func refusalIn(e *remote.StatusError) (s said) {
	d := xml.NewDecoder(bytes.NewReader(e.Body))
	for {
		t, err := d.Token()
		if err != nil {
			return s
		}
		start, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		field := map[string]*string{"Code": &s.Code, "Message": &s.Message, "Region": &s.Region}[start.Name.Local]
		if field != nil && d.DecodeElement(field, &start) != nil {
			return s
		}
	}
}
