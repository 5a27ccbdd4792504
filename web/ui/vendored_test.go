package ui

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
)

// htmx is dist/htmx.min.js of the npm package htmx.org 4.0.1, as it is there; its licence,
// 0BSD, lies beside it.
const htmxSum = "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130"

func TestVendored(t *testing.T) {
	text, err := static.ReadFile("static/htmx.min.js")
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != htmxSum {
		t.Errorf("htmx.min.js is not that of htmx.org 4.0.1: %x", sum)
	}
}
