package tensor

import (
	"slices"
	"strconv"
	"strings"
)

// SplitPath takes the numbers out of a path: its template and the numbers in
// order. model.layers.3.mlp.experts.9.w gives model.layers.{layer}.mlp.experts.{expert}.w
// and [3 9]. Only whole segments that are canonical decimal numbers (no sign, no
// leading zero, at most 18 digits) are taken, so JoinPath gives the path back; a
// path that holds a literal "{layer}", "{expert}" or "{n}" segment is left whole
// for the same reason. Names of other numbers are {n}.
func SplitPath(path string) (template string, index []int64) {
	digits := false
	for i := 0; i < len(path); i++ {
		if c := path[i]; c >= '0' && c <= '9' {
			digits = true
			break
		}
	}
	if !digits {
		return path, nil
	}
	if strings.Contains(path, "{") { // a literal placeholder would be taken for a number's place
		for seg := range strings.SplitSeq(path, ".") {
			if isPlaceholder(seg) {
				return path, nil
			}
		}
	}
	b, index := appendSplit(make([]byte, 0, len(path)+16), nil, path)
	return string(b), index
}

// AppendSplit is SplitPath for those who look many paths up: it appends the
// template and the numbers to buffers of theirs.
func AppendSplit(template []byte, index []int64, path string) ([]byte, []int64) {
	if strings.Contains(path, "{") {
		whole, numbers := SplitPath(path)
		return append(template, whole...), append(index, numbers...)
	}
	return appendSplit(template, index, path)
}

func appendSplit(template []byte, index []int64, path string) ([]byte, []int64) {
	prev := ""
	for start := 0; ; {
		end := start
		for end < len(path) && path[end] != '.' {
			end++
		}
		seg := path[start:end]
		if n, ok := number(seg); ok {
			index = append(index, n)
			template = append(template, placeholder(prev)...)
		} else {
			template = append(template, seg...)
		}
		if end == len(path) {
			return template, index
		}
		template = append(template, '.')
		prev, start = seg, end+1
	}
}

// JoinPath puts the numbers back: the inverse of SplitPath. Placeholders beyond
// len(index) stay as they are.
func JoinPath(template string, index []int64) string {
	if len(index) == 0 {
		return template
	}
	b := make([]byte, 0, len(template)+8)
	k := 0
	for rest, more := template, true; more; {
		var seg string
		seg, rest, more = strings.Cut(rest, ".")
		if k < len(index) && isPlaceholder(seg) {
			b = strconv.AppendInt(b, index[k], 10)
			k++
		} else {
			b = append(b, seg...)
		}
		if more {
			b = append(b, '.')
		}
	}
	return string(b)
}

// Placeholders lists what each number of a template counts: "layer", "expert" or
// "n". A template that has no {layer} is older, or less sure, than what is known of
// words: the first {n} behind a word that counts layers is one. So with experts.
func Placeholders(template string) []string {
	if !strings.Contains(template, "{") {
		return nil
	}
	var names []string
	word, layer, expert := "", -1, -1 // the first {n} behind such a word
	var layers, experts bool          // it says so itself
	for seg := range strings.SplitSeq(template, ".") {
		switch {
		case isPlaceholder(seg):
			name := seg[1 : len(seg)-1]
			layers, experts = layers || name == "layer", experts || name == "expert"
			if name == "n" {
				switch k := len(names); {
				case layer < 0 && countsLayers(word):
					layer = k
				case expert < 0 && placeholder(word) == "{expert}":
					expert = k
				}
			}
			names = append(names, name)
			word = ""
		case !slices.Contains(wrapping, seg):
			word = seg
		}
	}
	if layer >= 0 && !layers {
		names[layer] = "layer"
	}
	if expert >= 0 && !experts {
		names[expert] = "expert"
	}
	return names
}

// LayerOf finds the number that counts layers: which of a template's numbers it is,
// and where its placeholder begins and ends; -1 when there is none.
func LayerOf(template string) (slot, from, to int) {
	slot = slices.Index(Placeholders(template), "layer")
	if slot < 0 {
		return -1, -1, -1
	}
	for k := 0; ; from = to + 1 {
		to = len(template)
		if n := strings.IndexByte(template[from:], '.'); n >= 0 {
			to = from + n
		}
		if isPlaceholder(template[from:to]) {
			if k == slot {
				return slot, from, to
			}
			k++
		}
	}
}

// wrapping are segments that stand between a word and its number: where a module was
// saved whole, compiled or sharded. Unlike wrappers they stay in the name.
var wrapping = append([]string{"_modules", "module"}, wrappers...)

// layerWords are words that count layers, beside those that end in layers or blocks
// (encoder_layers, _blocks, resblocks): modules in a row that are much alike. What
// numbers the parts of one layer, as an nn.Sequential does (mlp.0, classifier.6), or
// heads, is none.
var layerWords = []string{"features", "stages", "encoders", "decoders", "resnets", "cells", "levels"}

func countsLayers(word string) bool {
	lower := strings.ToLower(word)
	return slices.Contains(layerWords, lower) || strings.HasSuffix(lower, "layers") || strings.HasSuffix(lower, "blocks") || placeholder(word) == "{layer}"
}

func number(seg string) (int64, bool) {
	if seg == "" || len(seg) > 18 || seg[0] == '0' && len(seg) > 1 {
		return 0, false
	}
	n := int64(0) // 18 digits fit
	for i := 0; i < len(seg); i++ {
		if seg[i] < '0' || seg[i] > '9' {
			return 0, false
		}
		n = 10*n + int64(seg[i]-'0')
	}
	return n, true
}

// placeholder names a number by the segment before it: the words that stand before
// a layer or an expert in the checkpoints of the families wreg knows. Templates are
// stored, so what counts layers beyond these words is told by Placeholders.
func placeholder(prev string) string {
	switch prev {
	case "layers", "layer", "h", "blocks", "block", "blk", "resblocks":
		return "{layer}"
	case "experts", "expert":
		return "{expert}"
	}
	return "{n}"
}

// isPlaceholder recognises exactly the three segments SplitPath writes.
func isPlaceholder(seg string) bool {
	return seg == "{layer}" || seg == "{expert}" || seg == "{n}"
}
