// Package s3test is a store that speaks S3 on the loopback, for tests: buckets in memory,
// with what S3 says of ETags, checksums, conditions, versions and files in parts.
//
// Most users need [Start].
//
// Invariants: it refuses a request that is not signed for its region with its key, unless it
// is open to all; what the signatures hold is checked against real stores in conformance.
package s3test

import (
	"bytes"
	"cmp"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Region is where the buckets lie, Key whose they are.
const (
	Region = "eu-test-1"
	Key    = "AKIDS3TEST"
	Bucket = "models"
)

// Object is a file of the store.
type Object struct {
	Data     []byte
	Meta     map[string]string // headers that are kept: x-amz-meta-*, Content-Type
	Checksum string            // x-amz-checksum-sha256, "" for none
	Version  string
	ETag     string
	Modified time.Time
}

// upload is a file that comes in parts.
type upload struct {
	key     string
	meta    map[string]string
	sha     bool
	parts   map[int]*Object
	started time.Time
}

// Store is one bucket. Fields are set between requests.
type Store struct {
	*httptest.Server
	Objects map[string]*Object
	Open    bool // to anonymous requests
	Page    int  // entries of a page; 0: 1000

	Before  func(w http.ResponseWriter, r *http.Request) bool // true: it has answered
	Listing func(*Page)                                       // alters a page before it is sent

	mu      sync.Mutex
	uploads map[string]*upload
	asked   []string
	number  int
}

// Start starts a store, and sets an environment whose S3 it is and which has its key.
func Start(t *testing.T) *Store {
	t.Helper()
	s := &Store{Objects: map[string]*Object{}, uploads: map[string]*upload{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	home := t.TempDir()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	for name, value := range map[string]string{
		"HOME": home, "AWS_CONFIG_FILE": filepath.Join(home, "config"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(home, "credentials"),
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL_S3": s.URL, "AWS_REGION": Region, "AWS_ACCESS_KEY_ID": Key, "AWS_SECRET_ACCESS_KEY": "a-secret-that-nobody-may-see",
	} {
		t.Setenv(name, value)
	}
	return s
}

// Put keeps a file.
func (s *Store) Put(key string, data []byte) *Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.put(key, data, nil)
}

func (s *Store) put(key string, data []byte, meta map[string]string) *Object {
	sum := md5.Sum(data)
	s.number++
	o := &Object{Data: data, Meta: meta, ETag: `"` + hex.EncodeToString(sum[:]) + `"`, Modified: time.Unix(1_790_000_000+int64(s.number), 0)}
	s.Objects[key] = o
	return o
}

// Asked are the requests since it was called last, without what is secret.
func (s *Store) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.asked
	s.asked = nil
	return list
}

// Uploads is how many files came in parts and are not whole yet.
func (s *Store) Uploads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.uploads)
}

// Refuse answers with an error of S3.
func Refuse(w http.ResponseWriter, status int, code, message string) bool {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>%s</Message></Error>`, code, message)
	return true
}

func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.Method+" "+r.URL.Path+query(r.URL.Query()))
	before := s.Before
	s.mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	auth := r.Header.Get("Authorization")
	switch {
	case auth == "" && !s.Open:
		Refuse(w, http.StatusForbidden, "AccessDenied", "Access Denied")
		return
	case auth != "" && !strings.HasPrefix(auth, "AWS4-HMAC-SHA256 Credential="+Key+"/"):
		Refuse(w, http.StatusForbidden, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
		return
	case auth != "" && !strings.Contains(auth, "/"+Region+"/s3/aws4_request"):
		w.Header().Set("X-Amz-Bucket-Region", Region)
		Refuse(w, http.StatusMovedPermanently, "PermanentRedirect", "another region")
		return
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if sum := sha256.Sum256(data); auth != "" && r.Header.Get("X-Amz-Content-Sha256") != hex.EncodeToString(sum[:]) {
		Refuse(w, http.StatusBadRequest, "XAmzContentSHA256Mismatch", "The provided x-amz-content-sha256 header does not match what was computed.")
		return
	}
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	s.mu.Lock()
	defer s.mu.Unlock()
	q := r.URL.Query()
	switch {
	case name != Bucket:
		Refuse(w, http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist")
	case key == "" && q.Has("uploads"):
		s.listUploads(w, q)
	case key == "":
		s.list(w, q)
	case r.Method == http.MethodPost && q.Has("uploads"):
		s.begin(w, r, key)
	case q.Has("uploadId"):
		s.part(w, r, q, key, data)
	case r.Method == http.MethodPut:
		s.store(w, r, key, data)
	case r.Method == http.MethodDelete:
		delete(s.Objects, key)
		w.WriteHeader(http.StatusNoContent)
	default:
		s.get(w, r, q, key)
	}
}

func query(q url.Values) string {
	if len(q) == 0 {
		return ""
	}
	text, _ := url.QueryUnescape(q.Encode())
	return "?" + text
}

// Page is a page of a listing.
type Page struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	IsTruncated           bool
	EncodingType          string
	NextContinuationToken string `xml:",omitempty"`
	Contents              []Entry
	CommonPrefixes        []Prefix
}

// Entry is a file in a listing, Prefix a folder.
type Entry struct {
	Key, LastModified, ETag string
	Size                    int64
	ChecksumAlgorithm       []string
	ChecksumType            string `xml:",omitempty"`
}

// Prefix is a folder in a listing.
type Prefix struct{ Prefix string }

func (s *Store) list(w http.ResponseWriter, q url.Values) {
	most := cmp.Or(s.Page, 1000)
	p := Page{EncodingType: "url"}
	seen := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(s.Objects)) {
		inside, ok := strings.CutPrefix(key, q.Get("prefix"))
		if !ok || key <= q.Get("continuation-token") {
			continue
		}
		folder, _, deeper := strings.Cut(inside, "/")
		if deeper && seen[folder] {
			continue
		}
		if len(p.Contents)+len(p.CommonPrefixes) == most {
			p.IsTruncated = true
			break
		}
		p.NextContinuationToken = key
		if deeper {
			seen[folder] = true
			p.CommonPrefixes = append(p.CommonPrefixes, Prefix{url.QueryEscape(q.Get("prefix") + folder + "/")})
			p.NextContinuationToken = q.Get("prefix") + folder + "/\xff"
			continue
		}
		o := s.Objects[key]
		e := Entry{Key: url.QueryEscape(key), LastModified: o.Modified.UTC().Format(time.RFC3339), ETag: o.ETag, Size: int64(len(o.Data))}
		if o.Checksum != "" {
			e.ChecksumAlgorithm, e.ChecksumType = []string{"SHA256"}, kind(o.Checksum)
		}
		p.Contents = append(p.Contents, e)
	}
	if !p.IsTruncated {
		p.NextContinuationToken = ""
	}
	if s.Listing != nil {
		s.Listing(&p)
	}
	answer(w, p)
}

func kind(checksum string) string {
	if strings.Contains(checksum, "-") {
		return "COMPOSITE"
	}
	return "FULL_OBJECT"
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/xml")
	if err := xml.NewEncoder(w).Encode(v); err != nil {
		panic(err)
	}
}

func (s *Store) get(w http.ResponseWriter, r *http.Request, q url.Values, key string) {
	o := s.Objects[key]
	if o == nil || q.Get("versionId") != "" && q.Get("versionId") != o.Version {
		Refuse(w, http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
		return
	}
	h := w.Header()
	for k, v := range o.Meta {
		h.Set(k, v)
	}
	h.Set("ETag", o.ETag)
	if o.Version != "" {
		h.Set("X-Amz-Version-Id", o.Version)
	}
	if o.Checksum != "" && r.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" {
		h.Set("X-Amz-Checksum-Sha256", o.Checksum)
		h.Set("X-Amz-Checksum-Type", kind(o.Checksum))
	}
	http.ServeContent(w, r, "", o.Modified, bytes.NewReader(o.Data))
}

// checksum is what a request says of its body, and whether that is so.
func checksum(r *http.Request, data []byte) (text string, ok bool) {
	sum := sha256.Sum256(data)
	text = r.Header.Get("X-Amz-Checksum-Sha256")
	return text, text == "" || text == base64.StdEncoding.EncodeToString(sum[:])
}

// taken reports that a request may not write over what is there.
func (s *Store) taken(w http.ResponseWriter, r *http.Request, key string) bool {
	o := s.Objects[key]
	if etag := r.Header.Get("If-Match"); r.Header.Get("If-None-Match") == "*" && o != nil || etag != "" && (o == nil || o.ETag != etag) {
		return Refuse(w, http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
	}
	return false
}

func meta(r *http.Request) map[string]string {
	m := map[string]string{}
	for k := range r.Header {
		if strings.HasPrefix(k, "X-Amz-Meta-") || k == "Content-Type" {
			m[k] = r.Header.Get(k)
		}
	}
	return m
}

func (s *Store) store(w http.ResponseWriter, r *http.Request, key string, data []byte) {
	sum, ok := checksum(r, data)
	if !ok {
		Refuse(w, http.StatusBadRequest, "BadDigest", "The SHA256 you specified did not match the calculated checksum.")
		return
	}
	if s.taken(w, r, key) {
		return
	}
	o := s.put(key, data, meta(r))
	o.Checksum = sum
	w.Header().Set("ETag", o.ETag)
	w.Header().Set("X-Amz-Checksum-Sha256", sum)
}

func (s *Store) begin(w http.ResponseWriter, r *http.Request, key string) {
	s.number++
	id := "upload-" + strconv.Itoa(s.number)
	s.uploads[id] = &upload{key: key, meta: meta(r), sha: r.Header.Get("X-Amz-Checksum-Algorithm") == "SHA256", parts: map[int]*Object{}, started: time.Unix(1_790_000_000+int64(s.number), 0)}
	answer(w, struct {
		XMLName               xml.Name `xml:"InitiateMultipartUploadResult"`
		Bucket, Key, UploadId string
	}{Bucket: Bucket, Key: key, UploadId: id})
}

func (s *Store) listUploads(w http.ResponseWriter, q url.Values) {
	type one struct{ Key, UploadId, Initiated string }
	var list struct {
		XMLName     xml.Name `xml:"ListMultipartUploadsResult"`
		IsTruncated bool
		Upload      []one
	}
	for _, id := range slices.Sorted(maps.Keys(s.uploads)) {
		if u := s.uploads[id]; strings.HasPrefix(u.key, q.Get("prefix")) {
			list.Upload = append(list.Upload, one{u.key, id, u.started.UTC().Format(time.RFC3339)})
		}
	}
	answer(w, list)
}

// Part is a part of a file as it is listed and named when it is made whole.
type Part struct {
	PartNumber           int
	ETag, ChecksumSHA256 string
	Size                 int64
}

func (s *Store) part(w http.ResponseWriter, r *http.Request, q url.Values, key string, data []byte) {
	u := s.uploads[q.Get("uploadId")]
	if u == nil || u.key != key {
		Refuse(w, http.StatusNotFound, "NoSuchUpload", "The specified multipart upload does not exist.")
		return
	}
	switch r.Method {
	case http.MethodPut:
		n, _ := strconv.Atoi(q.Get("partNumber"))
		text, ok := checksum(r, data)
		if !ok {
			Refuse(w, http.StatusBadRequest, "BadDigest", "The SHA256 you specified did not match the calculated checksum.")
			return
		}
		sum := md5.Sum(data)
		u.parts[n] = &Object{Data: data, Checksum: text, ETag: `"` + hex.EncodeToString(sum[:]) + `"`}
		w.Header().Set("ETag", u.parts[n].ETag)
		w.Header().Set("X-Amz-Checksum-Sha256", text)
	case http.MethodGet:
		list := struct {
			XMLName     xml.Name `xml:"ListPartsResult"`
			IsTruncated bool
			Part        []Part
		}{}
		for _, n := range slices.Sorted(maps.Keys(u.parts)) {
			list.Part = append(list.Part, Part{n, u.parts[n].ETag, u.parts[n].Checksum, int64(len(u.parts[n].Data))})
		}
		answer(w, list)
	case http.MethodDelete:
		delete(s.uploads, q.Get("uploadId"))
		w.WriteHeader(http.StatusNoContent)
	case http.MethodPost:
		s.whole(w, r, u, q.Get("uploadId"), data)
	}
}

// whole makes a file of its parts.
func (s *Store) whole(w http.ResponseWriter, r *http.Request, u *upload, id string, body []byte) {
	var want struct{ Part []Part }
	if err := xml.Unmarshal(body, &want); err != nil {
		Refuse(w, http.StatusBadRequest, "MalformedXML", "The XML you provided was not well-formed")
		return
	}
	var data, sums []byte
	etags := md5.New()
	for i, p := range want.Part {
		have := u.parts[p.PartNumber]
		if have == nil || have.ETag != p.ETag || p.PartNumber != i+1 || u.sha && have.Checksum != p.ChecksumSHA256 {
			Refuse(w, http.StatusBadRequest, "InvalidPart", "One or more of the specified parts could not be found.")
			return
		}
		data = append(data, have.Data...)
		sum, _ := base64.StdEncoding.DecodeString(have.Checksum)
		sums = append(sums, sum...)
		part := md5.Sum(have.Data)
		etags.Write(part[:])
	}
	if s.taken(w, r, u.key) {
		return
	}
	delete(s.uploads, id)
	o := s.put(u.key, data, u.meta)
	o.ETag = fmt.Sprintf(`"%x-%d"`, etags.Sum(nil), len(want.Part))
	all := sha256.Sum256(sums)
	if !u.sha {
		answer(w, struct {
			XMLName xml.Name `xml:"CompleteMultipartUploadResult"`
			ETag    string
		}{ETag: o.ETag})
		return
	}
	o.Checksum = fmt.Sprintf("%s-%d", base64.StdEncoding.EncodeToString(all[:]), len(want.Part))
	answer(w, struct {
		XMLName              xml.Name `xml:"CompleteMultipartUploadResult"`
		ETag, ChecksumSHA256 string
	}{ETag: o.ETag, ChecksumSHA256: o.Checksum})
}
