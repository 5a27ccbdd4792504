package report

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"

	"wreg/registry/tensor"
	"wreg/view/words"
)

// hashBytes is how much of a SHA-256 a row shows, as tables on a terminal do. Hashes
// do not compress, and are most of a large report: all of 58,450 would be 2.4 MB.
const hashBytes = 6

// maxExact bounds the numbers that a page takes out of paths: JavaScript counts to 2^53, and their
// differences are written with a sign.
const maxExact = 1 << 50

// row is what the list of tensors has of one.
type row struct {
	path     string // inert
	kind     int
	file     int
	template int
	index    []int64
	stats    *tensor.Stats
	hash     [hashBytes]byte
}

// packing is a list of tensors as columns: a JSON line that names what numbers stand
// for, then the numbers, column by column, so that they compress. table.js reads it.
type packing struct {
	Rows      int          `json:"rows"`
	Templates [][]any      `json:"templates"` // the parts around the numbers; which number counts layers, which experts
	Kinds     []tensorKind `json:"kinds"`
	Files     []string     `json:"files"`
	Hash      int          `json:"hash"`
	Wide      bool         `json:"wide"` // absmax has 8 bytes, not 4
	Stats     int          `json:"stats"`
}

// tensorKind is what many tensors have in common.
type tensorKind struct {
	DType string  `json:"dtype"`
	Shape []int64 `json:"shape"`
	Bytes int64   `json:"bytes"`
}

// numbering gives each text its place in a list, in order of arrival.
type numbering map[string]int

func (n numbering) of(text string) (at int, isNew bool) {
	at, ok := n[text]
	if !ok {
		at = len(n)
		n[text] = at
	}
	return at, !ok
}

// pack writes a model's tensors, sorted as people count, deflated, in base64.
func pack(ctx context.Context, tensors iter.Seq2[tensor.Info, error]) (string, error) {
	p := packing{Hash: hashBytes, Templates: [][]any{}, Kinds: []tensorKind{}, Files: []string{}}
	var rows []row
	templates, kinds, files := numbering{}, numbering{}, numbering{}
	for t, err := range tensors {
		if err != nil {
			return "", err
		}
		if err := ctx.Err(); err != nil {
			return "", err
		}
		r := row{path: words.Inert(t.Path), stats: t.Stats}
		copy(r.hash[:], t.Hash[:])
		var isNew bool
		var parts []any
		parts, r.index = split(r.path)
		key, _ := json.Marshal(parts)
		if r.template, isNew = templates.of(string(key)); isNew {
			p.Templates = append(p.Templates, parts)
		}
		k := tensorKind{t.DType.String(), append([]int64{}, t.Shape...), t.Bytes}
		if r.kind, isNew = kinds.of(k.DType + t.Shape.String() + strconv.FormatInt(t.Bytes, 10)); isNew {
			p.Kinds = append(p.Kinds, k)
		}
		if r.file, isNew = files.of(t.File); isNew {
			p.Files = append(p.Files, words.Inert(t.File))
		}
		if t.Stats != nil {
			p.Stats++
			p.Wide = p.Wide || float64(float32(t.Stats.AbsMax)) != t.Stats.AbsMax
		}
		rows = append(rows, r)
	}
	p.Rows = len(rows)
	slices.SortFunc(rows, func(a, b row) int { return natural(a.path, b.path) })
	return p.write(rows)
}

func (p *packing) write(rows []row) (string, error) {
	head, err := json.Marshal(p)
	if err != nil {
		return "", err
	}
	b := append(head, '\n')
	for _, of := range []func(r *row) int{
		func(r *row) int { return r.template }, func(r *row) int { return r.kind }, func(r *row) int { return r.file },
	} {
		for i := range rows {
			b = binary.AppendUvarint(b, uint64(of(&rows[i])))
		}
	}
	var last []int64 // numbers go on where the row before had them
	for i := range rows {
		for k, n := range rows[i].index {
			if k == len(last) {
				last = append(last, 0)
			}
			b = binary.AppendVarint(b, n-last[k])
			last[k] = n
		}
	}
	for i := range rows { // 0: nothing was taken
		if st := rows[i].stats; st == nil {
			b = append(b, 0)
		} else {
			b = binary.AppendUvarint(b, uint64(st.NaNs)+1)
			b = binary.AppendUvarint(b, uint64(st.Infs))
			b = binary.AppendUvarint(b, uint64(st.Zeros))
		}
	}
	width := 4
	if p.Wide {
		width = 8
	}
	for at := range width { // the bytes of equal weight lie together
		for i := range rows {
			st := rows[i].stats
			switch {
			case st == nil:
			case p.Wide:
				b = append(b, byte(math.Float64bits(st.AbsMax)>>(8*at)))
			default:
				b = append(b, byte(math.Float32bits(float32(st.AbsMax))>>(8*at)))
			}
		}
	}
	for i := range rows {
		b = append(b, rows[i].hash[:]...)
	}
	return squeeze(b)
}

// split takes the numbers out of a path: the texts around them, then which of them
// counts layers and which experts, -1 for none.
func split(path string) (parts []any, index []int64) {
	template, index := tensor.SplitPath(path)
	if slices.ContainsFunc(index, func(n int64) bool { return n >= maxExact }) {
		index = nil
	}
	if len(index) == 0 {
		return []any{path, -1, -1}, nil
	}
	text, rest := "", path
	for _, n := range index { // whole segments, in order
		digits := strconv.FormatInt(n, 10)
		for {
			seg, after, more := strings.Cut(rest, ".")
			rest = after
			if seg == digits {
				parts = append(parts, text)
				text = ""
				if more {
					text = "."
				}
				break
			}
			text += seg + "."
		}
	}
	names := tensor.Placeholders(template)
	return append(parts, text+rest, slices.Index(names, "layer"), slices.Index(names, "expert")), index
}

// natural compares paths by their segments, numbers by what they count.
func natural(a, b string) int {
	for a != "" && b != "" {
		x, restA, _ := strings.Cut(a, ".")
		y, restB, _ := strings.Cut(b, ".")
		if x != y {
			n, errN := strconv.ParseUint(x, 10, 63)
			m, errM := strconv.ParseUint(y, 10, 63)
			switch {
			case errN == nil && errM == nil && n != m:
				return cmp.Compare(n, m)
			case (errN == nil) != (errM == nil): // numbers come before words
				return boolean(errM == nil) - boolean(errN == nil)
			}
			return cmp.Compare(x, y)
		}
		a, b = restA, restB
	}
	return cmp.Compare(a, b)
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}
