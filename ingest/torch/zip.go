package torch

import (
	"fmt"
	"strings"

	"wreg/ingest/torch/globals"
	"wreg/ingest/torch/pickle"
	"wreg/ingest/zipfile"
)

// The records of a zip checkpoint, below its root folder.
const (
	objectRecord    = "data.pkl"
	constantsRecord = "constants.pkl" // TorchScript only
	orderRecord     = "byteorder"
	maxOrder        = 64 // bytes of it

	// A deflated pickle may inflate to inflateFree, or to inflateTimes what is
	// stored: torch's deflate to a twentieth. More is a bomb.
	inflateFree  = 8 << 20
	inflateTimes = 64
)

// openZip finds the records below the archive's root folder and reads data.pkl.
func (f *File) openZip() error {
	records, err := zipfile.Read(f.steps.Context, f.r, f.size, f.memory)
	if err == nil {
		err = f.spend(zipfile.Memory(records))
	}
	if err != nil {
		return err
	}
	if len(records) == 0 {
		return fmt.Errorf("a zip file without records")
	}
	// The root is the folder of the first record, as in torch: the name of the file
	// it was saved to, or "archive".
	root, _, folder := strings.Cut(records[0].Name, "/")
	if root += "/"; !folder {
		root = ""
	}
	outside := 0
	for i := range records {
		if rec := &records[i]; strings.HasPrefix(rec.Name, root) {
			f.records[rec.Name] = rec
		} else {
			outside++
		}
	}
	if outside > 0 {
		f.find("second-root", "", fmt.Sprintf("%d records lie outside the folder %q of the first; torch reads none of them, nor does wreg", outside, root))
	}
	if f.records[root+objectRecord] == nil {
		return f.otherArchive(root)
	}
	if !folder {
		f.find("no-root-folder", "", "its records lie in no folder; torch refuses the file")
	}
	if err := f.byteOrder(root); err != nil {
		return err
	}
	object, err := f.record(root, objectRecord, "data/")
	if err != nil {
		return err
	}
	values := []rooted{{nil, object}}
	if f.records[root+constantsRecord] != nil {
		f.find("torchscript", "", "a TorchScript archive: its code is not read; tensors are listed by their attributes, constants below constants.pkl")
		constants, err := f.record(root, constantsRecord, "constants/")
		if err != nil {
			return err
		}
		values = append(values, rooted{[]any{constantsRecord}, constants})
	}
	return f.list(values...)
}

func (f *File) byteOrder(root string) error {
	rec := f.records[root+orderRecord]
	if rec == nil {
		return nil // torch before 2.1 wrote none, and was little-endian
	}
	b, err := rec.Read(f.r, maxOrder)
	if err != nil {
		return err
	}
	switch string(b) {
	case "little":
	case "big":
		f.big = true
	default:
		return fmt.Errorf("record %q says %q, neither little nor big", rec.Name, b)
	}
	return nil
}

// record reads a record that is one pickle, whose storages are records in folder.
func (f *File) record(root, name, folder string) (*pickle.Result, error) {
	rec := f.records[root+name]
	data, err := f.content(rec)
	if err != nil {
		return nil, err
	}
	result, err := f.load(data, func(id any) (any, error) { return f.persistent(id, root+folder) })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if result.Size != len(data) {
		return nil, fmt.Errorf("%s: %d bytes follow the end of the pickle at byte %d", name, len(data)-result.Size, result.Size)
	}
	f.memory += rec.Size // the pickle is garbage from here on
	return result, nil
}

// persistent serves ('storage', class, key, device, numel): the record of that key.
func (f *File) persistent(id any, folder string) (any, error) {
	t, ok := id.(*pickle.Tuple)
	if !ok || t.Len() < 5 || t.Get(0) != "storage" {
		return nil, fmt.Errorf("a persistent id that is not a storage of a zip archive")
	}
	st, err := globals.StorageOf(t.Get(1), t.Get(2), t.Get(4))
	if err != nil {
		return nil, err
	}
	if !digits(st.Key) {
		return nil, fmt.Errorf("storage key %.100q is not a number", st.Key)
	}
	rec := f.records[folder+st.Key]
	if rec == nil {
		return nil, fmt.Errorf("storage %q: there is no record %q", st.Key, folder+st.Key)
	}
	if st.Bytes > rec.Size {
		return nil, fmt.Errorf("storage %q: its %d elements take %d bytes, its record %q at offset %d holds %d", st.Key, st.Numel, st.Bytes, rec.Name, rec.Offset, rec.Size)
	}
	st.Record = rec.Name
	return st, nil
}

func digits(s string) bool {
	return s != "" && len(s) <= 18 && strings.Trim(s, "0123456789") == ""
}
