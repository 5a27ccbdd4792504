// Package view gathers what people look at as data: a model at a glance and
// whether it is whole, the map of its layers and components, the ranges of its
// values, and how two models differ. The command line, the report and the browser
// show the same data, so that no two screens give two answers.
//
// Most users need Of (one revision at a glance), Brief (the same as an ingest knows it),
// Coverage and Experts (the map), Ranges and Compare. Everything here marshals to JSON, and that JSON is what --json prints.
//
// Invariants: only the registry is read, unless a caller hands over bytes; whether
// a model is whole is what arch.Resolve says, as for query gaps and export; what was
// not recorded (hashes, statistics) is absent, never zero.
package view

import "time"

// Model is one revision at a glance.
type Model struct {
	Ref        string    `json:"model"`
	Root       string    `json:"root"`
	Created    time.Time `json:"created"`
	Tool       string    `json:"tool"`
	Source     string    `json:"source,omitempty"` // the revision it was exported from
	Arch       string    `json:"arch,omitempty"`
	Problem    string    `json:"problem,omitempty"` // why no architecture is known
	Layout     string    `json:"layout,omitempty"`
	Tensors    int64     `json:"tensors"`
	Params     int64     `json:"params"` // elements; a packed weight counts those it stands for
	Bytes      int64     `json:"bytes"`
	Bits       float64   `json:"bits"`                // bits a parameter, everything stored counted
	Quantized  *Estimate `json:"at_4_bits,omitempty"` // nil where it is quantized already, or cannot be exported
	Files      int       `json:"files"`
	Shards     int       `json:"shards"` // files that hold tensors
	Layers     int64     `json:"layers,omitempty"`
	Experts    int64     `json:"experts,omitempty"`
	DTypes     []Share   `json:"dtypes"`     // by bytes, the largest first
	Components []Share   `json:"components"` // experts, attention, embeddings and so on; likewise
	Trust      string    `json:"trust"`      // how it is known, of its files the least: see tensor.Trust
	Values     *Values   `json:"values,omitempty"`
	Findings   []Finding `json:"findings"` // of ingest
	Verdict    Verdict   `json:"verdict"`
}

// Finding is something that ingest told of the files; a note is about nothing wrong.
type Finding struct {
	Rule    string `json:"rule"`
	File    string `json:"file,omitempty"`
	Tensor  string `json:"tensor,omitempty"`
	Message string `json:"message"`
	Note    bool   `json:"note,omitempty"`
}

// Share is what one dtype or one component has of a model.
type Share struct {
	Name    string `json:"name"`
	Tensors int64  `json:"tensors"`
	Params  int64  `json:"params"`
	Bytes   int64  `json:"bytes"`
}

// Estimate is what a model would take.
type Estimate struct {
	Bytes int64   `json:"bytes"`
	Bits  float64 `json:"bits"` // a parameter
}

// Values is what was recorded of a model's numbers; nil where nothing was.
type Values struct {
	Tensors  int64   `json:"tensors"` // that have statistics
	NaNs     int64   `json:"nans"`
	Infs     int64   `json:"infs"`
	AbsMax   float64 `json:"absmax"`    // of numbers, not of codes
	AbsMaxAt string  `json:"absmax_at"` // "": no number is finite
	Zero     int64   `json:"zero"`      // tensors without any value but zero
}

// States of a verdict.
const (
	Whole   = "whole"   // the architecture expects nothing that is not there
	Gapped  = "gaps"    // something is missing, changed or extra
	Unknown = "unknown" // there is no architecture to ask
)

// Verdict says whether a model is what its architecture expects.
type Verdict struct {
	State    string   `json:"state"`
	Gaps     int64    `json:"gaps"`
	Expected int64    `json:"expected"` // tensors, as on the map
	Missing  int64    `json:"missing"`
	Changed  int64    `json:"changed"`
	Extra    int64    `json:"extra"`
	Lines    []Line   `json:"lines,omitempty"` // the gaps, folded
	Note     string   `json:"note,omitempty"`  // what is to be done before anything else: all names are otherwise
	Findings int      `json:"findings"`        // of ingest, that are faults
	Export   string   `json:"export"`          // what wreg export --target mlx would do
	Next     []string `json:"next"`            // commands worth typing, checked to be right
}

// Line is a gap, or several that differ in numbers or a word of their path.
type Line struct {
	Path    string `json:"path"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Remedy  string `json:"remedy,omitempty"`
	Tensors int64  `json:"tensors"`
}

// Map is layers by components, or the experts of one layer by their projections.
type Map struct {
	Ref    string  `json:"model"`
	Arch   string  `json:"arch"`
	Layout string  `json:"layout"`          // under whose names tensors are counted
	By     string  `json:"by"`              // what the columns number: ByLayer or ByExpert
	Layer  *int64  `json:"layer,omitempty"` // whose experts
	Layers []int64 `json:"layers"`          // the number of each column
	Rows   []Row   `json:"rows"`            // what lies in layers; then, in order, what lies outside
	Total  Cell    `json:"total"`
	Gaps   int64   `json:"gaps"`           // as query gaps lists them
	Note   string  `json:"note,omitempty"` // what is to be done before anything else
}

// What the columns of a map number.
const (
	ByLayer  = "layer"
	ByExpert = "expert"
)

// Row is one component over the layers.
type Row struct {
	Component string `json:"component"`
	Outside   *Cell  `json:"outside,omitempty"` // what lies in no layer; mostly Cells is empty then
	Cells     []Cell `json:"cells,omitempty"`   // one for each of Map.Layers

	// Under is where its tensors' names begin, as a template: {layer}, or {expert}, is the
	// number of a column. Leaf says that there are tensors of that very name, Deep that names go on.
	Under      string `json:"-"`
	Leaf, Deep bool   `json:"-"`
}

// Cell is what one layer has of one component.
type Cell struct {
	Expected int64    `json:"expected"` // tensors that the architecture needs, under the names they have there
	Missing  int64    `json:"missing,omitempty"`
	Changed  int64    `json:"changed,omitempty"`
	Extra    int64    `json:"extra,omitempty"`
	Tensors  int64    `json:"tensors"` // that are there
	Bytes    int64    `json:"bytes"`
	DType    string   `json:"dtype,omitempty"` // the one that takes most bytes
	AbsMax   *float64 `json:"absmax,omitempty"`
	Error    *float64 `json:"error,omitempty"` // of quantized weights against those of another model, relative; Comparison.Errors adds it
}
