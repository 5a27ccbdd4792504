package text

import (
	"fmt"
	"math"
	"strings"

	"wreg/view"
	"wreg/view/words"
)

// bars are the heights of a cell, the lowest first.
var bars = []rune("▁▂▃▄▅▆▇█")

// Marks of cells that have no height.
const (
	nonFinite = "!"
	allZero   = "_"
)

// Ranges draws how far the values of each module reach, by layer, on one logarithmic
// scale; what float16 would lose; which modules may deserve more bits.
func Ranges(r *view.Spread, o Options) []string {
	d := &drawing{o: o, width: o.width()}
	about := []string{}
	if r.Arch != "" {
		about = append(about, words.Inert(r.Arch))
	}
	if n := len(r.Layers); n > 0 {
		about = append(about, count(int64(n), "layer"))
	}
	about = append(about, count(r.Tensors, "tensor")+" with statistics")
	d.title(words.Inert(r.Ref), about)
	s := &spread{drawing: d, Spread: r}
	s.rows()
	s.outside()
	s.verdicts()
	return d.lines
}

// spread is a view.Spread while it is drawn.
type spread struct {
	*drawing
	*view.Spread
	low, high   float64 // of the scale
	zeros, nans bool    // were drawn
}

func (s *spread) rows() {
	var rows []view.Band
	for _, b := range s.Bands {
		if b.Outside == nil {
			rows = append(rows, b)
		}
	}
	if len(rows) == 0 {
		return
	}
	rows, more := remarkable(rows, maxRows, func(b view.Band) bool { return b.Stands != nil || brokenBand(&b) })
	names := make([]string, len(rows))
	for i, b := range rows {
		names[i] = words.Inert(b.Component)
		for _, span := range b.Spans {
			if span != nil && span.AbsMax != nil && *span.AbsMax > 0 {
				if s.low == 0 || *span.AbsMax < s.low {
					s.low = *span.AbsMax
				}
				s.high = max(s.high, *span.AbsMax)
			}
		}
	}
	const numbers = 18 // two columns of them
	s.columns("absmax by layer (log)", names, s.Layers, numbers)
	s.header(cells("least", "most"))
	for i, b := range rows {
		s.row(names[i], b)
	}
	s.more(more, "component")
	legend := ""
	if s.nans {
		legend += "  " + nonFinite + " NaN or infinite"
	}
	if s.zeros {
		legend += "  " + allZero + " all zero"
	}
	if legend != "" {
		s.prose(legend[2:])
	}
}

func brokenBand(b *view.Band) bool {
	for _, span := range b.Spans {
		if span != nil && span.NaNs+span.Infs > 0 {
			return true
		}
	}
	return false
}

// row draws one module.
func (s *spread) row(name string, b view.Band) {
	var line []mark
	for i := 0; i < len(b.Spans); i += s.fold {
		cell := mark{" ", 0}
		most := -1.0
		for k := i; k < min(i+s.fold, len(b.Spans)); k++ {
			span := b.Spans[k]
			switch {
			case span == nil:
				continue
			case span.NaNs+span.Infs > 0:
				cell, most, s.nans = mark{nonFinite, red}, math.Inf(1), true
			case span.AbsMax != nil && *span.AbsMax > most:
				most = *span.AbsMax
				cell = mark{s.bar(most), 0}
			}
			if b.Stands != nil && s.Layers[k] == b.Stands.Layer && cell.colour == 0 {
				cell.colour = yellow
			}
		}
		line = append(line, cell)
	}
	var notes []string
	if st := b.Stands; st != nil {
		at := fmt.Sprintf("layer %d", st.Layer)
		notes = []string{"← " + at + ": " + times(st.Times) + " its neighbours", "← " + at, "←" + at[5:]}
	}
	s.cells(name, line, cells(number(b.Least), number(b.Most)), notes)
}

// bar is the height of a value on the scale, which spans a factor of two at least.
func (s *spread) bar(x float64) string {
	if x == 0 {
		s.zeros = true
		return allZero
	}
	span := max(math.Log(s.high/s.low), math.Ln2)
	at := int(float64(len(bars)) * math.Log(x/s.low) / span)
	return string(bars[max(0, min(at, len(bars)-1))])
}

// outside names what lies in no layer, and how far it reaches.
func (s *spread) outside() {
	var parts []string
	for _, b := range s.Bands {
		switch {
		case b.Outside == nil:
		case b.Outside.NaNs+b.Outside.Infs > 0:
			parts = append(parts, words.Inert(b.Component)+" "+number(b.Most)+" (NaN or infinite, too)")
		default:
			parts = append(parts, words.Inert(b.Component)+" "+number(b.Most))
		}
	}
	if len(parts) > 0 {
		const most = 8
		more := ""
		if n := len(parts) - most; n > 0 {
			parts, more = parts[:most], ", … "+words.Number(int64(n))+" more"
		}
		s.prose("outside of the layers: " + strings.Join(parts, ", ") + more)
	}
}

// verdicts are what follows from the statistics.
func (s *spread) verdicts() {
	if s.NaNs+s.Infs > 0 {
		s.prose(s.o.each(fmt.Sprintf("%s not a number, %s infinite:", words.Number(s.NaNs), words.Number(s.Infs)), red) +
			fmt.Sprintf(" wreg query 'find * in %s where nans > 0 or infs > 0'", words.Inert(s.Ref)))
	}
	half := &s.Float16
	fits := "every weight fits (at most 65504)"
	switch {
	case s.Codes > 0:
		fits = "every plain float fits (at most 65504); what codes stand for was not recorded"
	case s.Unknown > 0:
		fits = "every weight with statistics fits (at most 65504)"
	}
	switch {
	case s.Tensors == 0:
	case len(half.Overflow) == 0:
		s.prose(s.o.paint("float16:", bold) + " " + fits)
	default:
		s.prose(s.o.paint("float16:", bold) + " " + s.o.each(count(int64(len(half.Overflow)), "tensor")+" would overflow", red) + " (beyond 65504): " + reached(half.Overflow))
	}
	if n := len(half.Vanish); n > 0 {
		s.prose(s.o.paint("float16:", bold) + " " + s.o.each(count(int64(n), "tensor")+" would become all zero", red) + ": " + reached(half.Vanish))
	}
	bits := s.o.each("4 bits:", bold)
	switch {
	case s.Tensors == 0:
	case s.Why != "":
		s.prose(bits + " which modules deserve more is not known: " + words.Line(s.Why))
	case len(s.Advice) == 0:
		s.prose(bits + " no quantizable module's range stands out among the layers beside it")
	default:
		const most = 10
		s.prose(bits + " far wider than the layers beside them; to keep them at 8 bits:")
		for _, a := range s.Advice[:min(most, len(s.Advice))] {
			said := "--q-override '" + a.Override + "'"
			if why := "  " + times(a.Times) + " its neighbours"; Width(said+why)+2 <= s.width {
				said += why
			}
			for _, l := range Break(said, s.width-2, 2) {
				s.add("  " + l)
			}
		}
		s.more(max(0, len(s.Advice)-most), "module")
	}
	if s.Codes > 0 {
		s.prose(count(s.Codes, "tensor") + " of codes or integers left out: their range says nothing of the weights they stand for")
	}
}

// reached lists a few tensors with their greatest magnitude.
func reached(list []view.Reach) string {
	const most = 3
	var parts []string
	for _, r := range list[:min(most, len(list))] {
		parts = append(parts, words.Inert(r.Path)+" "+number(r.AbsMax))
	}
	if n := len(list) - most; n > 0 {
		parts = append(parts, "… "+words.Number(int64(n))+" more")
	}
	return strings.Join(parts, ", ")
}

func times(x float64) string {
	if x >= 1e6 {
		return "over 1,000,000 ×"
	}
	if x < 10 {
		return fmt.Sprintf("%.2g ×", x)
	}
	return words.Number(int64(math.Round(x))) + " ×"
}

// number is a value with three digits.
func number(x float64) string { return fmt.Sprintf("%.3g", x) }

// cells are numbers under each other.
func cells(texts ...string) string {
	var b strings.Builder
	for _, s := range texts {
		b.WriteString(strings.Repeat(" ", max(1, 9-Width(s))) + s)
	}
	return b.String()
}
