package s3

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5" // what an ETag is of, where a store gives no SHA-256
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"

	"wreg/ingest/s3/bucket"
	"wreg/push"
)

const (
	leastPart  = 32 << 20 // bytes of a part
	maxParts   = 9_000    // of a file, where stores take 10,000
	maxUploads = 16       // unfinished ones of a file that are looked at
	maxPages   = 100      // of a list of parts or of uploads
)

// part is a part of a file.
type part struct {
	PartNumber     int
	ETag           string
	ChecksumSHA256 string `xml:",omitempty"`
	Size           int64  `xml:"-"`
}

// partSize is the size of every part of a file but the last. No list of unfinished files tells which bytes they are
// meant to become: the size does, by some bits of the digest.
func partSize(f push.File, least int64) int64 {
	least = max(least, (f.Size/maxParts+1<<20-1)>>20<<20)
	sum, err := hex.DecodeString(f.SHA256)
	if err != nil || len(sum) != sha256.Size {
		return least
	}
	return least + least/32*(int64(sum[0])<<12+int64(sum[1])<<4+int64(sum[2])>>4)>>20
}

// send sends the parts of a file that the store does not have.
func (t *Target) send(ctx context.Context, s *sent, from io.ReaderAt, moved func(int64)) error {
	size := partSize(s.File, t.least)
	have, err := t.resume(ctx, s, size)
	if err != nil {
		return err
	}
	if s.upload == "" {
		if err := t.begin(ctx, s); err != nil {
			return err
		}
	}
	s.parts = make([]part, (s.Size-1)/size+1)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var sending sync.WaitGroup
	whole, there, mu := sha256.New(), 0, sync.Mutex{}
	err = func() error {
		defer sending.Wait()
		for i := range s.parts {
			off := int64(i) * size
			n := min(size, s.Size-off)
			sum, tag := sha256.New(), md5.New()
			w := io.MultiWriter(whole, sum)
			was := have[i+1]
			if was.ETag != "" && was.ChecksumSHA256 == "" {
				w = io.MultiWriter(whole, sum, tag)
			}
			if k, err := io.Copy(w, io.NewSectionReader(from, off, n)); err != nil {
				return fmt.Errorf("%s: %w", s.Name, err)
			} else if k < n {
				return changed(s.File)
			}
			p := &s.parts[i]
			*p = part{PartNumber: i + 1, ChecksumSHA256: base64.StdEncoding.EncodeToString(sum.Sum(nil)), Size: n}
			if was.ETag != "" && was.Size == n && (was.ChecksumSHA256 == p.ChecksumSHA256 || was.ChecksumSHA256 == "" && was.ETag == fmt.Sprintf(`"%x"`, tag.Sum(nil))) {
				p.ETag = was.ETag
				t.count(was.ChecksumSHA256 != "")
				moved(n)
				mu.Lock()
				there++
				mu.Unlock()
				continue
			}
			select {
			case t.slots <- struct{}{}:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			sending.Go(func() {
				defer func() { <-t.slots }()
				if err := t.part(ctx, s, p, from, off, hex.EncodeToString(sum.Sum(nil)), moved); err != nil {
					cancel(err)
					return
				}
				mu.Lock()
				there++
				mu.Unlock()
			})
		}
		return nil
	}()
	if err == nil {
		err = context.Cause(ctx)
	}
	if err == nil && hex.EncodeToString(whole.Sum(nil)) != s.SHA256 {
		err = changed(s.File)
		_, _ = t.b.Do(ctx, bucket.Request{Method: http.MethodDelete, Key: t.dir + s.Name, Query: url.Values{"uploadId": {s.upload}}}) // nobody wants these
		return err
	}
	if err != nil && there > 0 {
		return fmt.Errorf("%w; the bucket keeps %d of its %d parts, which are not sent again, until its lifecycle removes them", err, there, len(s.parts))
	}
	return err
}

// count notes a part that the store has, and whether it told the SHA-256.
func (t *Target) count(told bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all++
	if told {
		t.parts++
	}
}

// part sends one part and compares what the store says of it.
func (t *Target) part(ctx context.Context, s *sent, p *part, from io.ReaderAt, off int64, sum string, moved func(int64)) error {
	told := false
	a, err := t.b.Upload(ctx, bucket.Upload{
		Key: t.dir + s.Name, Query: url.Values{"uploadId": {s.upload}, "partNumber": {strconv.Itoa(p.PartNumber)}},
		SHA256: sum, Header: http.Header{"X-Amz-Checksum-Sha256": {p.ChecksumSHA256}}, From: from, Off: off, N: p.Size, Moved: moved,
		Check: func(h http.Header) error {
			got := h.Get("X-Amz-Checksum-Sha256")
			if told = got != ""; told && got != p.ChecksumSHA256 {
				return fmt.Errorf("the store says that its SHA-256 is %.64s, it is %s", got, p.ChecksumSHA256)
			}
			if h.Get("ETag") == "" {
				return errors.New("the store gives no ETag of the part")
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	p.ETag = a.Header.Get("ETag")
	t.count(told)
	return nil
}

// begin begins a file.
func (t *Target) begin(ctx context.Context, s *sent) error {
	var made struct{ UploadId string }
	_, err := t.b.XML(ctx, bucket.Request{Method: http.MethodPost, Key: t.dir + s.Name, Query: url.Values{"uploads": {""}}, Header: http.Header{
		bucket.Digest: {s.SHA256}, "X-Amz-Checksum-Algorithm": {"SHA256"}, "Content-Type": {"application/octet-stream"},
	}}, &made)
	if err == nil && made.UploadId == "" {
		err = fmt.Errorf("%s: the store begins it and gives no name to what it began; is it an endpoint of S3?", t.address(s.Name))
	}
	s.upload = made.UploadId
	return err
}

// resume finds an unfinished upload of the same bytes: its parts by their numbers.
func (t *Target) resume(ctx context.Context, s *sent, size int64) (map[int]part, error) {
	var list struct {
		Upload []struct{ Key, UploadId, Initiated string }
	}
	key := t.dir + s.Name
	_, err := t.b.XML(ctx, bucket.Request{About: key, Query: url.Values{"uploads": {""}, "prefix": {key}}}, &list)
	if bucket.Refused(err, "AccessDenied", "NotImplemented", "MethodNotAllowed") {
		return nil, nil // then it begins anew
	} else if err != nil {
		return nil, err
	}
	slices.SortStableFunc(list.Upload, func(a, b struct{ Key, UploadId, Initiated string }) int { return cmp.Compare(b.Initiated, a.Initiated) })
	looked := 0
	for _, u := range list.Upload {
		if u.Key != key || looked == maxUploads {
			continue
		}
		looked++
		have, err := t.list(ctx, key, u.UploadId)
		if bucket.Refused(err, "NoSuchUpload", "AccessDenied") {
			continue
		} else if err != nil {
			return nil, err
		}
		count := (s.Size-1)/size + 1
		same := len(have) > 0
		for n, p := range have {
			same = same && int64(n) <= count && p.Size == min(size, s.Size-int64(n-1)*size)
		}
		if same {
			s.upload = u.UploadId
			return have, nil
		}
	}
	return nil, nil
}

// list gives the parts of an upload that the store has.
func (t *Target) list(ctx context.Context, key, upload string) (map[int]part, error) {
	have := map[int]part{}
	query := url.Values{"uploadId": {upload}}
	for range maxPages {
		var page struct {
			IsTruncated          bool
			NextPartNumberMarker string
			Part                 []struct {
				PartNumber           int
				ETag, ChecksumSHA256 string
				Size                 int64
			}
		}
		if _, err := t.b.XML(ctx, bucket.Request{Key: key, Query: query}, &page); err != nil {
			return nil, err
		}
		for _, p := range page.Part {
			if p.PartNumber < 1 {
				return nil, fmt.Errorf("%s: the store lists a part of number %d", t.address(key), p.PartNumber)
			}
			have[p.PartNumber] = part{p.PartNumber, p.ETag, p.ChecksumSHA256, p.Size}
		}
		if !page.IsTruncated || page.NextPartNumberMarker == query.Get("part-number-marker") {
			break
		}
		query.Set("part-number-marker", page.NextPartNumberMarker)
	}
	return have, nil
}

// composite is what S3 calls the checksum of a file in parts.
func composite(parts []part) string {
	h := sha256.New()
	for _, p := range parts {
		sum, err := base64.StdEncoding.DecodeString(p.ChecksumSHA256)
		if err != nil {
			return ""
		}
		h.Write(sum)
	}
	return fmt.Sprintf("%s-%d", base64.StdEncoding.EncodeToString(h.Sum(nil)), len(parts))
}

// complete makes a file of its parts. The store may say that it failed in an answer that begins well.
func (t *Target) complete(ctx context.Context, s *sent, h http.Header) error {
	body, err := xml.Marshal(struct {
		XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ CompleteMultipartUpload"`
		Part    []part
	}{Part: s.parts})
	if err != nil {
		return err
	}
	h.Set("Content-Type", "application/xml")
	a, err := t.b.Do(ctx, bucket.Request{Method: http.MethodPost, Key: t.dir + s.Name, Query: url.Values{"uploadId": {s.upload}}, Header: h, Body: body})
	if err != nil {
		return err
	}
	var said struct {
		XMLName       xml.Name
		Code, Message string
	}
	if err := xml.NewDecoder(bytes.NewReader(a.Body)).Decode(&said); err != nil || said.XMLName.Local != "CompleteMultipartUploadResult" {
		return fmt.Errorf("%s: the store could not make a file of its parts: %.60q %.200q; run it again", t.address(s.Name), said.Code, said.Message)
	}
	return nil
}

// put sends a small file.
func (t *Target) put(ctx context.Context, s *sent, h http.Header) error {
	sum := sha256.Sum256(s.data)
	h.Set(bucket.Digest, s.SHA256)
	h.Set("X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(sum[:]))
	h.Set("Content-Type", "application/octet-stream")
	_, err := t.b.Do(ctx, bucket.Request{Method: http.MethodPut, Key: t.dir + s.Name, Header: h, Body: s.data})
	return err
}
