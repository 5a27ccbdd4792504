package torch

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"wreg/ingest/strictjson"
	"wreg/ingest/torch/pickle"
	"wreg/ingest/torch/strided"
	"wreg/ingest/zipfile"
	"wreg/registry/tensor"
)

// The records of what torch.export.save writes (torch/export/pt2_archive): for each model
// the JSON that says which record holds which weights, and the same for its constants.
const (
	weightsFolder   = "data/weights/"
	weightsConfig   = "_weights_config.json"
	constantsFolder = "data/constants/"
	constantsConfig = "_constants_config.json"

	payloadMemory = 512 // what a weight of it takes, besides its name
	layoutStrided = 7
)

// pt2Types are the element types by their numbers in torch/_export/serde/schema.py.
var pt2Types = map[int64]string{
	1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64", 9: "complex32", 10: "complex64", 11: "complex128",
	12: "bool", 13: "bfloat16", 28: "uint16", 29: "float8_e4m3fn", 30: "float8_e5m2", 31: "float8_e4m3fnuz", 32: "float8_e5m2fnuz", 33: "float8_e8m0fnu",
	34: "uint32", 35: "uint64",
}

// otherArchive reads what torch writes without torch.save, or says what it is.
func (f *File) otherArchive(root string) error {
	names := slices.Sorted(maps.Keys(f.records))
	model := func(name, folder, config string) (model string, ok bool) {
		if name, ok = strings.CutPrefix(name, root+folder); ok {
			model, ok = strings.CutSuffix(name, config)
		}
		return model, ok
	}
	models := 0
	for _, name := range names {
		if _, ok := model(name, weightsFolder, weightsConfig); ok {
			models++
		}
	}
	if models == 0 {
		return f.unread(root, names)
	}
	var values []rooted
	for _, part := range []struct {
		folder, config string
		within         []any
	}{{weightsFolder, weightsConfig, nil}, {constantsFolder, constantsConfig, []any{"constants"}}} {
		for _, name := range names {
			of, ok := model(name, part.folder, part.config)
			if !ok {
				continue
			}
			prefix := part.within
			if models > 1 {
				prefix = append([]any{of}, prefix...)
			}
			v, err := f.payloads(name)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			values = append(values, rooted{prefix, v})
		}
	}
	if err := f.byteOrder(root); err != nil {
		return err
	}
	return f.list(values...)
}

// unread says what an archive is whose weights cannot be listed.
func (f *File) unread(root string, names []string) error {
	switch {
	case slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, root+"data/aotinductor/") }):
		return errors.New("an archive of AOTInductor (.pt2): compiled code, whose weights are part of it: read the checkpoint that it was compiled from")
	case f.records[root+"archive_format"] != nil, f.records[root+"serialized_exported_program.json"] != nil, f.records[root+"serialized_state_dict.pt"] != nil:
		return fmt.Errorf(`an archive of torch.export (.pt2) without the list of weights that torch 2.8 and later write: in Python, torch.save(torch.export.load(%q).state_dict, "weights.pt"), and read that`, path.Base(f.name))
	case f.records[root+".data/extern_modules"] != nil:
		where, pickled := "PACKAGE", "NAME.pkl"
		for _, name := range names {
			if dir, file := path.Split(strings.TrimPrefix(name, root)); dir != "" && dir[0] != '.' && path.Ext(file) != ".py" {
				where, pickled = strings.ReplaceAll(strings.TrimSuffix(dir, "/"), "/", "."), file
				break
			}
		}
		return fmt.Errorf(`an archive of torch.package, which brings code of its own: in Python, if you trust it, torch.package.PackageImporter(%q).load_pickle(%q, %q) gives what was saved: torch.save the tensors in it, and read that`, path.Base(f.name), where, pickled)
	}
	return fmt.Errorf("no record %q: a zip file, but not one torch.save wrote", root+objectRecord)
}

// payloads reads {"config": {name: where and what}}.
func (f *File) payloads(name string) (*pickle.Result, error) {
	data, err := f.content(f.records[name])
	if err != nil {
		return nil, err
	}
	if err := strictjson.Check(string(data)); err != nil {
		return nil, err
	}
	s := &strictjson.Scanner{Text: string(data), Steps: f.steps}
	all := &pickle.Dict{}
	err = s.Object(func(key string) error {
		if key != "config" {
			return s.Skip()
		}
		return s.Object(func(weight string) error {
			v, err := f.payload(s, path.Dir(name)+"/")
			if err == nil {
				err = f.spend(payloadMemory + 2*int64(len(weight)))
			}
			if err != nil {
				return fmt.Errorf("weight %.200q: %w", weight, err)
			}
			if v == nil {
				f.find("unread-array", weight, fmt.Sprintf("%.200q is pickled, as custom objects and subclasses of Tensor are: it is not listed", weight))
				return nil
			}
			*all = append(*all, pickle.Pair{Key: weight, Value: v})
			return nil
		})
	})
	if err == nil {
		err = s.End()
	}
	return &pickle.Result{Value: all, Ops: len(*all)}, err
}

// payload reads one weight; nil is one that is pickled.
func (f *File) payload(s *strictjson.Scanner, folder string) (*strided.View, error) {
	var record string
	var pickled bool
	v := &strided.View{Storage: &strided.Storage{}}
	layout := int64(layoutStrided)
	err := s.Object(func(key string) (err error) {
		switch key {
		case "path_name":
			record, err = s.Str()
		case "use_pickle":
			pickled = s.Peek() == 't'
			err = s.Skip()
		case "tensor_meta":
			if s.Peek() != '{' {
				return s.Skip()
			}
			return s.Object(func(key string) (err error) {
				switch key {
				case "dtype":
					var n int64
					n, err = s.Integer()
					v.DType = strided.DTypes[pt2Types[n]]
				case "sizes":
					v.Shape, err = f.symbols(s)
				case "strides":
					v.Stride, err = f.symbols(s)
				case "storage_offset":
					v.Offset, err = symbol(s)
				case "layout":
					layout, err = s.Integer()
				default:
					err = s.Skip()
				}
				return err
			})
		default:
			err = s.Skip()
		}
		return err
	})
	if err != nil || pickled {
		return nil, err
	}
	rec := f.records[folder+record]
	switch {
	case rec == nil || strings.Contains(record, "/"):
		return nil, fmt.Errorf("there is no record %.200q", folder+record)
	case v.DType == tensor.Invalid:
		return nil, errors.New("its dtype is not known")
	case layout != layoutStrided:
		return nil, fmt.Errorf("its layout is number %d, not strided", layout)
	}
	v.Storage = &strided.Storage{Key: record, Record: rec.Name, DType: v.DType, Bytes: rec.Size, Numel: rec.Size / v.Item()}
	return v, v.Check()
}

// symbols reads [{"as_int": 3}, …].
func (f *File) symbols(s *strictjson.Scanner) (list []int64, err error) {
	if err := s.Take('['); err != nil {
		return nil, err
	}
	for first := true; ; first = false {
		more, err := s.More(']', first)
		if err != nil || !more {
			return list, err
		}
		if len(list) == tensor.MaxRank {
			return nil, fmt.Errorf("rank exceeds %d", tensor.MaxRank)
		}
		n, err := symbol(s)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
	}
}

// symbol reads {"as_int": 3}.
func symbol(s *strictjson.Scanner) (n int64, err error) {
	found := false
	err = s.Object(func(key string) (err error) {
		if key != "as_int" {
			return s.Skip()
		}
		found = true
		n, err = s.Integer()
		return err
	})
	if err == nil && !found {
		err = errors.New("a size that is not a number")
	}
	return n, err
}

// content is a record that is read as a whole; its bytes count as memory.
func (f *File) content(rec *zipfile.Record) ([]byte, error) {
	if err := f.spend(rec.Size); err != nil {
		return nil, fmt.Errorf("record %q of %d bytes: %w", rec.Name, rec.Size, err)
	}
	limit := rec.Size
	if rec.Deflated {
		limit = inflateFree + inflateTimes*rec.Stored
	}
	return rec.Read(f.r, limit)
}
