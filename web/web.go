// Package web holds what the report and the browser share: the style sheet with light
// and dark, the map, plots and tables, and how data and programs are put into a page
// so that nothing a stranger named acts there.
//
// Most users need [Style], [Script], [Hash] and [Data].
//
// Invariants: nothing is fetched from anywhere; a page that names [Hash] in its policy
// runs what is here and nothing else; [Data] has no character that ends an element.
package web

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"strings"
)

//go:embed assets
var assets embed.FS

// Style is the style sheet that every page begins with.
func Style() string { return read("wreg.css") }

// Script is the program that every page begins with: wreg.js, the map and plots.
// It defines one name, wreg.
func Script() string { return join(read("wreg.js"), read("map.js"), read("plot.js")) }

// Icon is the page's icon as a URL that fetches nothing.
func Icon() string {
	return "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString([]byte(read("icon.svg")))
}

func read(name string) string {
	text, err := assets.ReadFile("assets/" + name)
	if err != nil {
		panic(err) // embedded, or the program was not built
	}
	return string(text)
}

// join makes one program of several; each is strict, and the first word says so.
func join(parts ...string) string {
	for i, p := range parts {
		parts[i] = strings.TrimSpace(p)
	}
	return strings.Join(parts, "\n") + "\n"
}

// Hash is how a content security policy names a program or a style sheet that stands in
// the page itself: to the letter.
func Hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Data is JSON for a script element of type application/json: json.Marshal writes <, >
// and & as \u003c and so on, and so no text in it ends the element.
func Data(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}
