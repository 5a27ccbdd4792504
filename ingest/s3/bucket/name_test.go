package bucket

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		address string
		want    Name // the zero one: refused
	}{
		{"s3://models", Name{Bucket: "models"}},
		{"s3://models/", Name{Bucket: "models"}},
		{"S3://models/a/b", Name{Bucket: "models", Key: "a/b"}},
		{"s3://models/a/b/", Name{Bucket: "models", Key: "a/b/"}},
		{"s3://models/what?.safetensors", Name{Bucket: "models", Key: "what?.safetensors"}},
		{"s3://my.models/a b", Name{Bucket: "my.models", Key: "a b"}},
		{"s3://models/a.gguf?versionId=3%2F4+x", Name{Bucket: "models", Key: "a.gguf", Version: "3/4+x"}},
		{"s3://models/a?pin=00112233445566778899aabbccddeeff", Name{Bucket: "models", Key: "a", Pin: "00112233445566778899aabbccddeeff"}},
		{"s3://", Name{}}, {"s3:///a", Name{}}, {"hf://a/b", Name{}}, {"s3://a b/c", Name{}}, {"s3://ab/../c", Name{}}, {"s3://ab/c/.", Name{}}, {"s3://ab//c", Name{}},
		{"s3://ab/c\\d", Name{}}, {"s3://ab/c\x00", Name{}}, {"s3://ab..c/d", Name{}}, {"s3://user:word@host/d", Name{}}, {"s3://host:9000/d", Name{}},
		{"s3://ab/c?pin=1", Name{}}, {"s3://ab/c?versionId=%0a", Name{}}, {"s3://ab/c/?versionId=1", Name{}}, {"s3://ab?versionId=1", Name{}},
		{"s3://arn:aws:s3:eu-west-1:1:accesspoint/x", Name{}}, {"s3://ab/" + strings.Repeat("x", 1025), Name{}},
	} {
		n, err := Parse(c.address)
		if n != c.want || (err == nil) != (c.want != Name{}) {
			t.Errorf("%q: %+v, %v", c.address, n, err)
		}
		if err != nil {
			continue
		}
		if again, err := Parse(n.String()); err != nil || again != n {
			t.Errorf("%q: written as %s it is %+v, %v", c.address, n, again, err)
		}
	}
}
