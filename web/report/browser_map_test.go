//go:build browser

package report

import (
	"fmt"
	"image"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"wreg/registry/tensor"
	"wreg/view"
	"wreg/web/webtest"
)

// kindOf is what a cell of the map must be coloured by.
func kindOf(c view.Cell) string {
	switch {
	case c.Missing > 0:
		return "missing"
	case c.Changed > 0:
		return "changed"
	case c.Extra > 0:
		return "extra"
	case c.Tensors > 0 || c.Expected > 0:
		return "there"
	}
	return "hollow"
}

// drawnRow is a row as the map draws it: what lies outside of the layers comes last.
type drawnRow[Cell any] struct {
	name    string
	cells   []Cell
	outside bool
}

func drawn(m *view.Map) (rows []drawnRow[view.Cell]) {
	for _, r := range m.Rows {
		if len(r.Cells) > 0 {
			rows = append(rows, drawnRow[view.Cell]{r.Component, r.Cells, false})
		}
	}
	for _, r := range m.Rows {
		if r.Outside != nil {
			rows = append(rows, drawnRow[view.Cell]{r.Component, []view.Cell{*r.Outside}, true})
		}
	}
	return rows
}

// The pitch of the map's cells where there is room, and where they begin; map.js.
const (
	cellPitch = 22
	cellsTop  = 20
	apart     = 10
)

// colours compares every cell of a map, as one sees it, with the class it must have.
func colours[Cell any](t *testing.T, p *webtest.Page, section string, rows []drawnRow[Cell], class func(c Cell) string) {
	t.Helper()
	picture := p.Picture(section + " .map-cells svg")
	seen, known := map[string]bool{}, map[string]string{}
	gap := 0
	for r, row := range rows {
		if row.outside && r > 0 && !rows[r-1].outside {
			gap = apart
		}
		for l, c := range row.cells {
			want := class(c)
			if known[want] == "" {
				known[want] = webtest.Eval[string](p, fmt.Sprintf(`(() => { const e = wreg.el("i", { class: %q }); document.body.append(e); const c = getComputedStyle(e).backgroundColor; e.remove(); return c; })()`, want))
			}
			got := colourAt(picture, l*cellPitch+3, cellsTop+r*cellPitch+gap+9)
			if got != known[want] {
				t.Errorf("%s, column %d is %s, want %s, the colour of %s", row.name, l, got, known[want], want)
			}
			seen[want] = true
		}
	}
	distinct := map[string]bool{}
	for _, c := range known {
		distinct[c] = true
	}
	if len(distinct) != len(seen) {
		t.Errorf("%d kinds of cells have %d colours: %v", len(seen), len(distinct), known)
	}
}

func colourAt(picture image.Image, x, y int) string {
	r, g, b, _ := picture.At(picture.Bounds().Min.X+x, picture.Bounds().Min.Y+y).RGBA()
	return fmt.Sprintf("rgb(%d, %d, %d)", r>>8, g>>8, b>>8)
}

// The map shows what view.Coverage counted: every cell's colour, in both themes and in
// every mode, and, for the keyboard and in the table, its numbers.
func TestMapShowsWhatWasCounted(t *testing.T) {
	v, list := damaged(t)
	d := gather(t, Options{}, v, list)
	total := d.layers.Map.Total
	if total.Missing == 0 || total.Changed == 0 || total.Extra == 0 {
		t.Fatalf("the model is not damaged enough: %+v", total)
	}
	p, url := open(t, d, webtest.Look{})
	colours(t, p, "#map", drawn(d.layers.Map), kindOf)
	p.Shot("map-light", false)
	p.Show(webtest.Look{Dark: true})
	colours(t, p, "#map", drawn(d.layers.Map), kindOf)
	p.Shot("map-dark", false)
	p.Show(webtest.Look{})

	// Steps of equal ratio, from the least to the greatest.
	for mode, of := range map[string]func(c view.Cell) (float64, bool){
		"absmax": func(c view.Cell) (float64, bool) {
			if c.AbsMax == nil {
				return 0, false
			}
			return *c.AbsMax, true
		},
		"bytes": func(c view.Cell) (float64, bool) { return float64(c.Bytes), c.Bytes > 0 },
	} {
		least, most := math.Inf(1), 0.0
		for _, row := range drawn(d.layers.Map) {
			for _, c := range row.cells {
				if x, ok := of(c); ok && x > 0 {
					least, most = min(least, x), max(most, x)
				}
			}
		}
		webtest.Eval[any](p, fmt.Sprintf("document.querySelector('#map [data-key=%s]').click()", mode))
		colours(t, p, "#map", drawn(d.layers.Map), func(c view.Cell) string {
			x, ok := of(c)
			if !ok {
				return "hollow"
			}
			return fmt.Sprint("seq", min(6, int(7*math.Log(x/least)/math.Log(most/least))))
		})
		p.Shot("map-"+mode, false)
	}
	webtest.Eval[any](p, "document.querySelector('#map [data-key=dtype]').click()")
	colours(t, p, "#map", drawn(d.layers.Map), func(c view.Cell) string {
		if c.DType == "" {
			return "hollow"
		}
		return fmt.Sprint("cat", slices.IndexFunc(d.Model.DTypes, func(s view.Share) bool { return s.Name == c.DType }))
	})
	webtest.Eval[any](p, "document.querySelector('#map [data-key=state]').click()")

	// With arrows, cell by cell.
	read := func() string { return webtest.Eval[string](p, "document.querySelector('.map-readout').textContent") }
	counts := regexp.MustCompile(`(\d+) of (\d+) tensors? (missing|changed)|(\d+) tensors?, all there|(\d+) extra|none expected`)
	webtest.Eval[any](p, "document.querySelector('.map-cells').focus()")
	for r, row := range drawn(d.layers.Map) {
		for l, c := range row.cells {
			said := read()
			where := row.name
			if !row.outside {
				where = fmt.Sprintf("layer %d · %s", d.layers.Map.Layers[l], row.name)
			}
			want := map[string]string{"missing": fmt.Sprintf("%d of %d tensors missing", c.Missing, c.Expected), "changed": fmt.Sprintf("%d of %d tensors changed", c.Changed, c.Expected),
				"extra": fmt.Sprintf("%d extra", c.Extra), "there": tensor.Count(int(c.Tensors), "tensor") + ", all there", "hollow": "none expected"}[kindOf(c)]
			if c.Expected == 1 {
				want = strings.Replace(want, "of 1 tensors", "of 1 tensor", 1)
			}
			if !strings.HasPrefix(said, where) || !strings.Contains(said, want) || !counts.MatchString(said) {
				t.Errorf("cell %d, %d says %q, want %q and %q", r, l, said, where, want)
			}
			if l < len(row.cells)-1 {
				p.Key(webtest.Right)
			}
		}
		p.Key(webtest.Right, webtest.Home, webtest.Down) // no further than the last
	}

	// As a table.
	webtest.Eval[any](p, "document.querySelector('#map [aria-pressed]').click()")
	text := webtest.Eval[string](p, "document.querySelector('#map table').textContent")
	for _, row := range drawn(d.layers.Map) {
		if !row.outside && !strings.Contains(text, row.name) {
			t.Errorf("the table has no %s", row.name)
		}
	}
	if n := webtest.Eval[int](p, "document.querySelectorAll('#map table tbody td').length"); n < len(d.layers.Map.Layers)*len(d.layers.Map.Rows)/2 {
		t.Errorf("the table has %d cells", n)
	}
	p.Quiet(url)
}

// The map of a comparison shows what view.Compare counted.
func TestMapOfAComparison(t *testing.T) {
	v, list := damaged(t)
	for i := range list { // of one layer, nothing is known
		if strings.Contains(list[i].Path, "layers.3.mlp") {
			list[i].Hash = tensor.Hash{}
		}
	}
	list[5].Hash[5] = 9 // changed
	other, all := model(t, "hunyuan")
	other.Model = "other"
	d := gather(t, Options{}, v, list, other, all)
	c := d.layers.Against
	if c.Changed == 0 || c.Missing == 0 || c.Extra == 0 || c.Equal == 0 || c.Uncompared == 0 {
		t.Fatalf("too little differs: %+v", c)
	}
	var rows []drawnRow[*view.Patch]
	for _, p := range c.Parts {
		if p.Outside == nil {
			rows = append(rows, drawnRow[*view.Patch]{p.Component, p.Patches, false})
		}
	}
	for _, p := range c.Parts {
		if p.Outside != nil {
			rows = append(rows, drawnRow[*view.Patch]{p.Component, []*view.Patch{p.Outside}, true})
		}
	}
	p, url := open(t, d, webtest.Look{})
	for _, dark := range []bool{false, true} {
		p.Show(webtest.Look{Dark: dark})
		colours(t, p, "#against", rows, func(c *view.Patch) string {
			switch {
			case c == nil:
				return "hollow"
			case c.Missing > 0:
				return "missing"
			case c.Changed > 0:
				return "changed"
			case c.Extra > 0:
				return "extra"
			case c.Uncompared > 0:
				return "unknown"
			}
			return "there"
		})
	}
	text := webtest.Eval[string](p, "document.querySelector('#against').innerText")
	for what, n := range map[string]int64{"Changed": c.Changed, "Missing": c.Missing, "Extra": c.Extra, "Equal": c.Equal, "Not compared": c.Uncompared} {
		if !strings.Contains(text, fmt.Sprintf("%s\n%d\n", what, n)) {
			t.Errorf("the page does not say %s: %d:\n%s", what, n, text)
		}
	}
	p.Shot("against", true)
	p.Quiet(url)
}
