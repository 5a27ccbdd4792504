package report

import (
	"bytes"
	"compress/zlib"
	"embed"
	"encoding/base64"
	"encoding/json"
	"io"
	"strings"

	"wreg/web"
)

//go:embed assets
var assets embed.FS

// Write writes the page. Data that is large is deflated, in base64.
func (d *Data) Write(w io.Writer) error {
	data, err := web.Data(d)
	if err != nil {
		return err
	}
	byLayer, err := deflated(d.layers)
	if err != nil {
		return err
	}
	style := web.Style() + asset("report.css")
	script := web.Script() + asset("table.js") + asset("report.js")
	policy := "default-src 'none'; script-src " + web.Hash(script) + "; style-src " + web.Hash(style) +
		"; img-src data:; base-uri 'none'; form-action 'none'"
	// What is put in has no placeholder to be found: nothing but the last three was
	// read from a checkpoint, and a Replacer looks at the page alone.
	_, err = strings.NewReplacer(
		"{{policy}}", policy, "{{icon}}", web.Icon(), "{{style}}", style, "{{script}}", script,
		"{{data}}", data, "{{layers}}", byLayer, "{{tensors}}", d.tensors,
	).WriteString(w, asset("report.html"))
	return err
}

// Wrote says of the first KiB of a file whether it is a page that Write wrote.
func Wrote(head []byte) bool {
	return bytes.HasPrefix(head, []byte("<!doctype html>")) && bytes.Contains(head, []byte(`<meta name="generator" content="wreg">`))
}

func asset(name string) string {
	text, err := assets.ReadFile("assets/" + name)
	if err != nil {
		panic(err) // embedded, or the program was not built
	}
	return string(text)
}

// deflated is JSON, compressed and in base64.
func deflated(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	return squeeze(b)
}

func squeeze(b []byte) (string, error) {
	var out bytes.Buffer
	z, err := zlib.NewWriterLevel(&out, zlib.BestCompression)
	if err != nil {
		return "", err
	}
	_, err = z.Write(b)
	if err == nil {
		err = z.Close()
	}
	return base64.StdEncoding.EncodeToString(out.Bytes()), err
}
