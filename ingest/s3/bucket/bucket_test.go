package bucket_test

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"

	"wreg/ingest/remote"
	"wreg/ingest/s3/bucket"
	"wreg/ingest/s3/s3test"
)

var ctx = context.Background()

func open(t *testing.T, name string) *bucket.Bucket {
	t.Helper()
	b, err := bucket.Open(ctx, name, remote.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Client.Close)
	return b
}

// Amazon's own hosts: by region, partition, and where a bucket's name is no label of a host.
func TestHosts(t *testing.T) {
	s3test.Start(t)
	t.Setenv("AWS_ENDPOINT_URL_S3", "")
	for _, c := range []struct{ region, fips, dual, name, want string }{
		{"eu-west-1", "", "", "models", "https://models.s3.eu-west-1.amazonaws.com/a%20b/%C3%A9%2B"},
		{"", "", "", "models", "https://models.s3.us-east-1.amazonaws.com/a%20b/%C3%A9%2B"},
		{"cn-north-1", "", "", "models", "https://models.s3.cn-north-1.amazonaws.com.cn/a%20b/%C3%A9%2B"},
		{"us-gov-west-1", "true", "", "models", "https://models.s3-fips.us-gov-west-1.amazonaws.com/a%20b/%C3%A9%2B"},
		{"us-east-2", "true", "true", "models", "https://models.s3-fips.dualstack.us-east-2.amazonaws.com/a%20b/%C3%A9%2B"},
		{"us-east-2", "", "", "my.models", "https://s3.us-east-2.amazonaws.com/my.models/a%20b/%C3%A9%2B"},
	} {
		t.Setenv("AWS_REGION", c.region)
		t.Setenv("AWS_USE_FIPS_ENDPOINT", c.fips)
		t.Setenv("AWS_USE_DUALSTACK_ENDPOINT", c.dual)
		if got := open(t, c.name).URL("a b/é+", nil); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// Which endpoint counts: of S3 before that of all, of the environment before the profile's, or none.
func TestEndpoints(t *testing.T) {
	s3test.Start(t)
	config := "[default]\nendpoint_url = http://profile-all.example\nservices = mine\n[services mine]\ns3 =\n  endpoint_url = http://profile-s3.example\n"
	if err := os.WriteFile(os.Getenv("AWS_CONFIG_FILE"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ s3, all, ignore, want string }{
		{"http://env-s3.example/", "http://env-all.example", "", "http://env-s3.example/models"},
		{"", "http://env-all.example", "", "http://profile-s3.example/models"},
		{"", "", "", "http://profile-s3.example/models"},
		{"", "http://env-all.example", "true", "https://models.s3.eu-test-1.amazonaws.com/"},
	} {
		t.Setenv("AWS_ENDPOINT_URL_S3", c.s3)
		t.Setenv("AWS_ENDPOINT_URL", c.all)
		t.Setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", c.ignore)
		if got := open(t, "models").URL("", nil); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
	t.Setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "")
	for _, bad := range []string{"ftp://x", "http://", "https://user:password@x", "http://x/?a=b"} {
		t.Setenv("AWS_ENDPOINT_URL_S3", bad)
		if _, err := bucket.Open(ctx, "models", remote.Options{}); err == nil || !strings.Contains(err.Error(), "endpoint") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// A refusal is one sentence that says what to do, and holds nothing secret.
func TestRefusals(t *testing.T) {
	s := s3test.Start(t)
	for _, c := range []struct {
		status         int
		code, has, not string
	}{
		{403, "AccessDenied", "the account of AWS_ACCESS_KEY_ID may not", ""},
		{403, "", "the account of AWS_ACCESS_KEY_ID may not", ""},
		{404, "NoSuchBucket", "no bucket models", ""},
		{404, "", "no bucket models", ""},
		{400, "ExpiredToken", "expired; log in again", ""},
		{403, "InvalidAccessKeyId", "does not know these credentials", ""},
		{403, "SignatureDoesNotMatch", "the secret does not belong", ""},
		{403, "RequestTimeTooSkewed", "clock", ""},
		{301, "PermanentRedirect", "set AWS_REGION", ""},
		{403, "InvalidObjectState", "archive", ""},
		{400, "KMS.DisabledException", "encrypted", ""},
		{418, "SomethingNew", `the store refuses: "because"`, ""},
	} {
		s.Before = func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("X-Amz-Bucket-Region", map[bool]string{true: s3test.Region}[c.status == 301])
			return s3test.Refuse(w, c.status, c.code, "because")
		}
		_, _, err := open(t, "models").List(ctx, "a/")
		if err == nil || !strings.Contains(err.Error(), c.has) || strings.Contains(err.Error(), "secret-that") || !strings.HasPrefix(err.Error(), "s3://models/a/: ") {
			t.Errorf("%d %s: %v", c.status, c.code, err)
		}
		if c.code != "" && !bucket.Refused(err, c.code) {
			t.Errorf("%s: not told: %v", c.code, err)
		}
	}
}

// A bucket lies where the store says, whatever the environment does; what it says is no host.
func TestRegions(t *testing.T) {
	s := s3test.Start(t)
	s.Put("a/x", []byte("x"))
	t.Setenv("AWS_REGION", "us-wrong-1")
	if list, _, err := open(t, "models").List(ctx, "a/"); err != nil || len(list) != 1 {
		t.Error(list, err)
	}
	if asked := s.Asked(); len(asked) != 2 {
		t.Error(asked)
	}
	s.Before = func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("X-Amz-Bucket-Region", "evil.example/")
		return s3test.Refuse(w, http.StatusMovedPermanently, "PermanentRedirect", "")
	}
	s.Asked()
	if _, _, err := open(t, "models").List(ctx, "a/"); err == nil || len(s.Asked()) != 1 {
		t.Error(err)
	}
}

// The reason of a refused HEAD is asked for, since that has no body.
func TestHeadRefused(t *testing.T) {
	s := s3test.Start(t)
	s.Before = func(w http.ResponseWriter, r *http.Request) bool {
		return s3test.Refuse(w, http.StatusBadRequest, "ExpiredToken", "")
	}
	if _, err := open(t, "models").Head(ctx, "a", ""); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Error(err)
	}
}

// Requests are signed for the bucket's own origin and no other, and without credentials not at all.
func TestSigned(t *testing.T) {
	s := s3test.Start(t)
	other := map[string]string{}
	stranger := s3test.Start(t)
	stranger.Before = func(w http.ResponseWriter, r *http.Request) bool {
		for k := range r.Header {
			other[k] = r.Header.Get(k)
		}
		w.WriteHeader(http.StatusTeapot)
		return true
	}
	t.Setenv("AWS_ENDPOINT_URL_S3", s.URL)
	s.Before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") == "" {
			t.Error("not signed")
		}
		http.Redirect(w, r, stranger.URL+"/elsewhere", http.StatusTemporaryRedirect)
		return true
	}
	t.Setenv("AWS_SESSION_TOKEN", "a-session-token")
	if _, err := open(t, "models").Head(ctx, "a", ""); err == nil || len(other) == 0 {
		t.Error(err)
	}
	for k, v := range other {
		if k == "Authorization" || strings.HasPrefix(k, "X-Amz-") || strings.Contains(v, "session") {
			t.Errorf("the stranger got %s: %s", k, v)
		}
	}
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		t.Setenv(name, "")
	}
	s.Before = nil
	b := open(t, "models")
	if _, err := b.Head(ctx, "a", ""); err == nil || !strings.Contains(err.Error(), "an anonymous request may not") {
		t.Error(err)
	}
	s.Open = true
	s.Put("a", []byte("a"))
	if o, err := b.Head(ctx, "a", ""); err != nil || o.Size != 1 {
		t.Error(o, err)
	}
}

// Credentials that are named and cannot be had are an error, and not an anonymous request.
func TestNamedCredentials(t *testing.T) {
	s := s3test.Start(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	write := func(text string) {
		if err := os.WriteFile(os.Getenv("AWS_CONFIG_FILE"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("[default]\nsso_session = me\nsso_account_id = 1\nsso_role_name = r\n[sso-session me]\nsso_region = eu-west-1\nsso_start_url = https://x.example/start\n")
	if _, err := bucket.Open(ctx, "models", remote.Options{}); err == nil || !strings.Contains(err.Error(), "type: aws sso login") {
		t.Error(err)
	}
	t.Setenv("AWS_PROFILE", "missing")
	if _, err := bucket.Open(ctx, "models", remote.Options{}); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Error(err)
	}
	t.Setenv("AWS_PROFILE", "")
	write("[default]\ncredential_process = /bin/sh -c 'echo {\\\"Version\\\":1,\\\"AccessKeyId\\\":\\\"AKIDS3TEST\\\",\\\"SecretAccessKey\\\":\\\"x\\\"}'\n")
	s.Put("a", []byte("a"))
	if _, err := open(t, "models").Head(ctx, "a", ""); err != nil {
		t.Error(err)
	}
	if len(s.Asked()) != 1 {
		t.Error("asked without credentials")
	}
}

// Listings that lead nowhere end.
func TestHostileListings(t *testing.T) {
	s := s3test.Start(t)
	s.Page = 1
	for _, k := range []string{"a/x", "a/y", "a/z", "a/w/1", "a/w/2", "a/w-3"} {
		s.Put(k, []byte(k))
	}
	if list, folders, err := open(t, "models").List(ctx, "a/"); err != nil || len(list) != 4 || len(folders) != 1 || folders[0] != "w" {
		t.Error(list, folders, err)
	}
	for _, c := range []struct {
		name string
		does func(*s3test.Page)
		has  string
	}{
		{"a circle", func(p *s3test.Page) { p.IsTruncated, p.NextContinuationToken = true, "again" }, "circle"},
		{"cut short", func(p *s3test.Page) { p.IsTruncated, p.NextContinuationToken = true, "" }, "cut short"},
		{"outside", func(p *s3test.Page) { p.Contents = []s3test.Entry{{Key: "b/x", ETag: `"1"`}} }, "does not lie directly below"},
		{"a size below zero", func(p *s3test.Page) { p.Contents = []s3test.Entry{{Key: "a/x", Size: -1, ETag: `"1"`}} }, "no size"},
		{"no validator", func(p *s3test.Page) { p.Contents = []s3test.Entry{{Key: "a/x", LastModified: "soon"}} }, "neither"},
		{"bad escapes", func(p *s3test.Page) { p.Contents = []s3test.Entry{{Key: "a/%zz", ETag: `"1"`}} }, "not encoded"},
		{"a long ETag", func(p *s3test.Page) {
			p.Contents = []s3test.Entry{{Key: "a/x", ETag: strings.Repeat("x", 10_000)}}
		}, "ETag"},
		{"too many", func(p *s3test.Page) {
			p.Contents = make([]s3test.Entry, 60_000)
			for i := range p.Contents {
				p.Contents[i] = s3test.Entry{Key: "a/x", ETag: `"1"`}
			}
		}, "more than 100000"},
	} {
		s.Listing = c.does
		if _, _, err := open(t, "models").List(ctx, "a/"); err == nil || !strings.Contains(err.Error(), c.has) {
			t.Errorf("%s: %.300v", c.name, err)
		}
	}
	s.Listing = nil
	s.Before = func(w http.ResponseWriter, r *http.Request) bool {
		_, err := w.Write([]byte("<html>log in"))
		return err == nil
	}
	if _, _, err := open(t, "models").List(ctx, "a/"); err == nil || !strings.Contains(err.Error(), "is it an endpoint of S3?") {
		t.Error(err)
	}
}

// What a store declares of a whole file; a checksum of checksums is none.
func TestDeclared(t *testing.T) {
	const sum = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=" // of "abc"
	const text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	for _, c := range []struct {
		sum, kind, meta, want string
	}{
		{sum, "FULL_OBJECT", "", text}, {sum, "", "", text}, {sum, "COMPOSITE", "", ""}, {sum + "-2", "", "", ""}, {"", "", strings.ToUpper(text), text},
		{"", "", text[1:], ""}, {"AAAA", "FULL_OBJECT", text, text}, {"", "", "", ""},
	} {
		h := http.Header{}
		h.Set("X-Amz-Checksum-Sha256", c.sum)
		h.Set("X-Amz-Checksum-Type", c.kind)
		h.Set("X-Amz-Meta-Sha256", c.meta)
		if got := bucket.Declared(h); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// A HEAD that another region refuses says nothing: where the bucket lies is asked by what has a body.
func TestHeadElsewhere(t *testing.T) {
	s := s3test.Start(t)
	s.Put("a", []byte("a"))
	t.Setenv("AWS_REGION", "us-wrong-1")
	s.Before = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.Header.Get("Authorization"), s3test.Region) {
			return false
		}
		w.WriteHeader(http.StatusBadRequest)
		if r.Method != http.MethodHead {
			_, err := w.Write([]byte("<Error><Code>AuthorizationHeaderMalformed</Code><Region>" + s3test.Region + "</Region></Error>"))
			return err == nil
		}
		return true
	}
	if o, err := open(t, "models").Head(ctx, "a", ""); err != nil || o.Size != 1 {
		t.Error(o, err)
	}
}
